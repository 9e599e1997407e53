# recstream: `make help` says what there is. Needs Python 3.11 to 3.13 and nothing else;
# `make up` needs Docker, `make lock` needs uv.

FIND_PYTHON = for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && { command -v $$python; break; }; done
PYTHON ?= $(shell $(FIND_PYTHON))
BIN = .venv/bin
ARGS =

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long unit check bench docs up down lock environment environment-dev python

help:
	@echo 'make demo      the whole thing on this machine: broker, two workers, training, canary'
	@echo 'make test      all tests, on the best Kafka that the machine offers'
	@echo 'make test-long the tests that take minutes: outages, ages, soak; run before a release'
	@echo 'make unit      the quick ones, without a broker'
	@echo 'make check     format, lint, types, imports'
	@echo 'make bench     benchmarks, on Apache Kafka; ARGS=serve|latency|route|scale|shadow|train|load'
	@echo 'make docs      write the reference pages and .env.example again, from the code'
	@echo 'make up, down  the stack in containers: Kafka, workers, Prometheus, Grafana'
	@echo 'make setup     only make .venv, with the development tools'
	@echo 'make lock      write the lock files again, from pyproject.toml'
	@echo "ARGS='...' is passed on by demo, test, test-long, unit and bench, as in: make demo ARGS=--exit"

setup: environment-dev

demo: environment
	@$(BIN)/recstream demo $(ARGS)

test: environment-dev
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

test-long: environment-dev
	@$(BIN)/python -m pytest --long -m long $(ARGS)

unit: environment-dev
	@$(BIN)/python -m pytest tests/unit $(ARGS)

check: environment-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: environment
	@$(BIN)/recstream bench $(ARGS)

docs: environment-dev
	$(BIN)/python -m ops.env_example > .env.example
	$(BIN)/python -m ops.reference
	$(BIN)/python -m ops.drawings

up:
	docker compose up --build --detach --wait

down:
	docker compose down

# The second holds the first at the same versions; setuptools builds the project itself.
LOCK = printf 'setuptools>=80\n' | uv pip compile --quiet --universal --generate-hashes \
	--python-version 3.11 --no-emit-index-url --no-header pyproject.toml - --extra embedded --extra s3

lock:
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	printf 'pyspark\n' | uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-header - --constraint requirements-dev.lock \
		--output-file ops/spark.lock

environment: python
	@'$(PYTHON)' -I ops/environment.py

environment-dev: python
	@'$(PYTHON)' -I ops/environment.py --dev

python:
	@test -n '$(PYTHON)' || { echo 'recstream needs Python 3.11, 3.12 or 3.13 with its venv module' \
	'(Debian, Ubuntu: apt-get install python3-venv); looked for python3, python3.13, python3.12,' \
	'python3.11. Another one: make PYTHON=/path/to/python' >&2; exit 1; }
