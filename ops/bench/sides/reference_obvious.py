"""Reference: the same job, written as Faust's documentation shows it.

JSON records as `faust.Record`, one scoring call per request, ``await topic.send`` per answer (which
returns when the answer is queued, not when it is confirmed). Same model, same scoring code, same
event loop as our worker; no rollout, no provenance to speak of, no dead letters. Run as a script.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Any

import faust
import uvloop
from threadpoolctl import threadpool_limits

from registry.kafka.topics import topics_of
from registry.settings import read_settings
from registry.versions.store import Store
from registry.wire.requests import Request


class Question(faust.Record, serializer="json"):
    """A recommendation request."""

    request_id: str
    user_id: int
    k: int = 10
    exclude_seen: bool = True


class Reply(faust.Record, serializer="json"):
    """An answer."""

    request_id: str
    user_id: int
    status: str
    model_version: str
    items: list[Any]
    provenance: dict[str, Any]


async def main() -> None:
    """Answer requests until killed."""
    settings = read_settings(os.environ)
    topics = topics_of(settings)
    store = Store(settings.model_registry)
    model = store.open(store.versions()[0])
    model.warm()
    worker = socket.gethostname()
    threadpool_limits(1, user_api="blas")  # with its default it would spin on all cores
    app = faust.App(
        settings.topic_prefix,
        broker=f"kafka://{settings.kafka_bootstrap_servers}",
        store="memory://",
        topic_disable_leader=True,
        web_enabled=False,
    )
    requests = app.topic(topics.requests.name, value_type=Question)
    responses = app.topic(topics.responses.name, value_type=Reply)

    @app.agent(requests)
    async def answer(stream: Any) -> None:
        async for event in stream.events():
            question = event.value
            asked = Request(question.request_id, question.user_id, question.k)
            [found] = model.recommend([asked])
            reply = Reply(
                request_id=question.request_id,
                user_id=question.user_id,
                status="ok",
                model_version=model.version,
                items=[
                    {"item_id": item.item_id, "score": item.score, "title": item.title}
                    for item in found.items
                ],
                provenance={
                    "worker": worker,
                    "latency_ms": (time.time() - event.message.timestamp) * 1000,
                },
            )
            await responses.send(key=event.key, value=reply)

    await app.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
