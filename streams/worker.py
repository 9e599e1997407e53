"""The worker process: starts the parts in order, runs until a signal, stops them in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from functools import partial
from typing import Any, Final

import uvloop
from confluent_kafka.admin import AdminClient
from threadpoolctl import threadpool_limits

from registry.connection.client_config import client_config
from registry.connection.reachability import metadata_of
from registry.errors import TransportError
from registry.heap_trim import keep_one_arena
from registry.kafka.permission_check import require_permissions
from registry.kafka.topic_admin import create_changelog, require_topics
from registry.settings import Settings
from streams.app import build_app
from streams.logs.start_stages import Stages, process_age_seconds
from streams.observers import build_observers
from streams.page_serving import build_pages, serve_pages
from streams.parts import Parts
from streams.shutdown import leave, restart, stop_parts
from streams.timers import Timers
from streams.watch.outages import LOOK_SECONDS, answers, is_outage, outlast

logger = logging.getLogger(__name__)

GC_THRESHOLDS: Final = (50_000, 20, 100)
"""Python's own (700, 10, 10) walk the heap so often that a fifth of the processor goes there."""


def run_worker(settings: Settings, table_options: dict[str, Any] | None = None) -> None:
    """Run one worker until SIGINT or SIGTERM.

    Raises
    ------
    ConfigurationError
        If the topics are not as they must be, or the pages' address is taken.
    TransportError
        If Kafka cannot be reached for RECSTREAM_OUTAGE_SECONDS, or refuses a record.
    """
    keep_one_arena()
    stages = Stages(process_age_seconds())
    stages.end("imports")
    outlast(partial(_require_kafka, settings), settings.outage_seconds)
    stages.end("topics")
    gc.enable()
    gc.set_threshold(*GC_THRESHOLDS)
    threadpool_limits(1, "blas")  # scoring has its own threads; two layers would fight for cores
    uvloop.run(Worker(settings, table_options, stages).run())


def _require_kafka(settings: Settings) -> None:
    admin = AdminClient(client_config(settings) | {"log_level": 0})
    metadata_of(admin, settings, seconds=LOOK_SECONDS)
    require_permissions(settings, "worker")
    require_topics(settings)
    create_changelog(settings)


class Worker:
    """One worker's life. What it is made of is in `streams.app`."""

    def __init__(
        self,
        settings: Settings,
        table_options: dict[str, Any] | None = None,
        stages: Stages | None = None,
    ) -> None:
        self._settings = settings
        self._stages = Stages(0.0) if stages is None else stages
        self._table_options = table_options
        self._failure: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Start, wait for a signal or a failure, stop."""
        loop = asyncio.get_running_loop()
        stop: asyncio.Future[None] = loop.create_future()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, _resolve, stop)
        self._failure = loop.create_future()
        parts = build_app(self._settings, self._fail, self._table_options)
        assert parts.app.consumer is not None  # made here: pages ask for it in threads of theirs
        parts.delivery.start()
        parts.follower.start()
        if self._settings.fresh != "off":
            parts.interactions.start()
        parts.items.start()
        if self._settings.outcomes == "on":
            parts.outcomes.start()
        if self._settings.new_items == "on":
            parts.new_items.start()
        observers = build_observers(parts)
        timers = Timers(parts, observers, self._stages)
        sites = await serve_pages(parts, build_pages(parts, observers))
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(parts.pipeline.run()),
            asyncio.create_task(parts.shadow.run()),
        ]
        exit_code, restarts = 1, False
        try:
            restarts = await self._live(parts, timers, stop, tasks)
            exit_code = 0
        finally:
            hangs = await stop_parts(parts, partial(timers.beat, stopping=True), sites, tasks)
            if restarts:
                restart()
            if hangs is not None:
                leave(hangs, exit_code)

    async def _live(
        self,
        parts: Parts,
        timers: Timers,
        stop: asyncio.Future[None],
        tasks: list[asyncio.Task[Any]],
    ) -> bool:
        """Return at a signal; tell whether to begin again, because Faust did not outlast Kafka."""
        ends = [stop, self._failure]
        try:
            if await self._is_to_join(parts, ends, tasks):
                await parts.app.start()
                tasks += [asyncio.create_task(timer) for timer in timers.tasks()]
                tasks.append(asyncio.create_task(parts.app._crashed.wait()))
                await self._until(parts, ends, tasks)
        except Exception as error:
            if not is_outage(error):
                raise
            logger.warning("Faust has lost Kafka (%r); waiting to restart", error)
            return await self._outlast_outage(stop)
        return False

    async def _outlast_outage(self, stop: asyncio.Future[None]) -> bool:
        """Return when Kafka answers, or at a signal; tell whether to begin again.

        The pages stay up, and heartbeats are tried, so they show when Kafka is back for good.
        """
        started = time.monotonic()
        while not stop.done():
            if await asyncio.to_thread(answers, self._settings):
                return True
            if time.monotonic() - started > self._settings.outage_seconds:
                raise TransportError(
                    "Kafka was unreachable for longer than "
                    f"RECSTREAM_OUTAGE_SECONDS={self._settings.outage_seconds:g}"
                )
            await asyncio.wait([stop], timeout=1.0)
        return False

    async def _is_to_join(
        self, parts: Parts, ends: list[Any], tasks: list[asyncio.Task[Any]]
    ) -> bool:
        """Wait until this worker may join its group; tell whether it may, and is not to end."""
        self._stages.end("assembly")
        entry = asyncio.create_task(parts.entry.wait())
        try:
            await self._until(parts, [*ends, entry], tasks)
        finally:
            joins = entry.done()
            entry.cancel()
        if joins:
            entry.result()
        self._stages.end("reading ahead, version")
        return joins

    async def _until(
        self, parts: Parts, awaited: list[Any], tasks: list[asyncio.Task[Any]]
    ) -> None:
        """Return when any of `awaited` is done; raise what failed meanwhile."""
        await asyncio.wait([*awaited, *tasks], return_when=asyncio.FIRST_COMPLETED)
        self._raise_failure(parts, tasks)

    def _fail(self, error: Exception) -> None:
        if self._failure is not None and not self._failure.done():
            logger.error("this worker is stopping: %s", error)
            self._failure.set_exception(error)

    def _raise_failure(self, parts: Parts, tasks: list[asyncio.Task[Any]]) -> None:
        assert self._failure is not None
        if self._failure.done():
            self._failure.result()
        if parts.app.crashed:
            reason = parts.app.crash_reason
            raise TransportError(f"the Faust app crashed: {reason!r}") from reason
        for task in tasks:
            if task.done():
                task.result()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
