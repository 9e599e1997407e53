"""How a worker stops: its parts in order, each within a time limit; how it restarts itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
from aiohttp import web

from streams.kafka.slices import SliceConsumer
from streams.parts import Parts

logger = logging.getLogger(__name__)

LAST_BEAT_SECONDS: Final = 0.5
"""How long the last heartbeat may take; without it, the others wait until we have fallen silent."""

STOP_SECONDS: Final = 4.0
"""How long a stop may take; what is unanswered then is answered by another worker."""


async def stop_parts(
    parts: Parts,
    beat_last: Callable[[], Awaitable[None]],
    sites: list[web.AppRunner],
    tasks: list[asyncio.Task[Any]],
) -> str | None:
    """Stop the parts in order; return what has not ended, None if all has.

    Parameters
    ----------
    parts, sites, tasks
        What runs.
    beat_last
        Sends the last heartbeat.
    """
    await parts.training.stop()
    stopping = asyncio.create_task(_drain_and_stop(parts.app))
    await asyncio.wait([stopping], timeout=STOP_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(beat_last(), LAST_BEAT_SECONDS)
    parts.follower.stop()
    parts.interactions.stop()
    parts.outcomes.stop()
    parts.new_items.stop()
    parts.items.stop()
    await parts.delivery.stop()
    await asyncio.gather(*(site.cleanup() for site in sites))
    parts.pipeline.stop()
    parts.shadow.stop()
    parts.node.residency.stop()
    if not stopping.done():
        return "Faust has not stopped"
    is_reading = parts.node.residency.is_reading or parts.entry.is_reading
    return "something is being read" if is_reading else None


def restart() -> None:
    """Replace this process by a fresh start of the same worker: a crashed Faust cannot continue."""
    logger.info("Kafka answers again; restarting this worker")
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def leave(what: str, exit_code: int) -> None:
    """End the process at once: Python would wait for its threads, however long they take."""
    logger.warning("%s, but this worker must stop: exiting without waiting", what)
    logging.shutdown()
    os._exit(exit_code)


async def _drain_and_stop(app: faust.App) -> None:
    if not app.started:  # it was told to end before it joined its group
        return
    if isinstance(app.consumer, SliceConsumer) and app.consumer.started:
        await app.consumer.drain()
    await app.stop()
