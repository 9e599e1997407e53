# One image for workers and for the command line.
FROM python:3.13-slim

# implicit's OpenMP runtime
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY registry registry
COPY training training
COPY streams streams
COPY ops ops
RUN pip install --no-cache-dir --no-deps . \
    && useradd --create-home recstream \
    && install -d -o recstream /model_registry

ARG GIT_SHA=""
ENV GIT_SHA=$GIT_SHA MODEL_REGISTRY=/model_registry RECSTREAM_HTTP_HOST=0.0.0.0
USER recstream
VOLUME /model_registry
EXPOSE 6066
ENTRYPOINT ["recstream"]
CMD ["worker"]
