"""A FastAPI application: ``uvicorn fastapi_app:app``. One client for all requests of a process."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from recstream_client import AsyncClient, Interaction, RecstreamError, parse_id

BESTSELLERS = [1, 2, 3]

client = AsyncClient(
    os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
    topic_prefix=os.environ.get("RECSTREAM_TOPIC_PREFIX", "reco"),
    deadline_seconds=2,
)


@asynccontextmanager
async def connected(_: FastAPI) -> AsyncIterator[None]:
    """Connect when the application starts, and close when it ends."""
    async with client:
        yield


app = FastAPI(lifespan=connected)


@app.get("/films/{user_id}")
async def films(user_id: str, k: int = 10) -> dict[str, object]:
    """Return film ids for a user; bestsellers if there is no answer in time."""
    try:
        answer = await client.ask(parse_id(user_id), k=k)
    except RecstreamError as error:
        return {"films": BESTSELLERS[:k], "why": error.code}
    if answer.status != "ok":
        return {"films": BESTSELLERS[:k], "why": answer.error.code if answer.error else "expired"}
    found = [item.item_id for item in answer.items]
    return {"films": found, "why": answer.source, "answer": answer.request_id}


@app.post("/clicks/{user_id}/{film_id}", status_code=201)
async def click(user_id: str, film_id: int, answer: str | None = None) -> None:
    """Tell the recommender what the user did, and in which answer the film was shown."""
    event = Interaction(
        user_id=parse_id(user_id), item_id=film_id, event="click", request_id=answer
    )
    try:
        await client.send_interaction(event, deadline_seconds=2)
    except RecstreamError as error:
        raise HTTPException(503, error.code) from error
