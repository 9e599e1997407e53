"""The worker process: starts the parts in order, runs until a signal, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import faust
import uvloop
from aiohttp import web
from confluent_kafka.admin import AdminClient
from threadpoolctl import threadpool_limits

from registry.connection.client_config import client_config
from registry.connection.reachability import metadata_of
from registry.errors import ArtifactError, ConfigurationError, RefusedRecord, TransportError
from registry.guardrails.fleet_checks import live
from registry.kafka.permission_check import require_permissions
from registry.kafka.topic_admin import create_changelog, require_topics
from registry.rollout.transitions import NO_EPOCH
from registry.settings import Settings
from registry.versions.heap_trim import trim_memory
from registry.wire.codec import encode
from streams.app import build_app
from streams.control.fleet_agent import HEARTBEAT_SECONDS
from streams.control.seeding import next_seed, seed_notice
from streams.delivery.outgoing import Outgoing
from streams.http.connections import BACKLOG, BoundedRunner
from streams.http.server import Pages
from streams.kafka.slices import SliceConsumer
from streams.page.collect import Report
from streams.parts import Parts
from streams.state.node import Node
from streams.state.table import LEASE_RENEWALS
from streams.topic_follower import follow_topics
from streams.watch.notices import Notice, Notices
from streams.watch.outages import LOOK_SECONDS, answers, is_outage, outlast
from streams.watch.start_stages import Stages, process_age_seconds
from streams.watch.topic_watch import WATCH_SECONDS

logger = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.5
"""Between two looks at what only time changes: leases, retries, schedules, gauges."""

TRIM_SECONDS: Final = 60.0
"""Between two returns of free memory to the system: batches and loads of all sizes fragment the
heap's arenas, which grew by half a megabyte a minute though no object was left behind."""

START_TICK_SECONDS: Final = 0.02
"""The same until the first answer: users wait for it."""

GC_THRESHOLDS: Final = (50_000, 20, 100)
"""Python's own (700, 10, 10) walk the heap so often that a fifth of the processor goes there."""

LAST_BEAT_SECONDS: Final = 0.5
"""How long the last heartbeat may take; without it, the others wait until we have fallen silent."""

LAST_ANSWERS_SECONDS: Final = 1.0
"""How long HTTP requests that are under way may take at a stop; aiohttp itself waits a minute."""

STOP_SECONDS: Final = 4.0
"""How long a stop may take; what is unanswered then is answered by another worker."""


def run_worker(settings: Settings, table_options: dict[str, Any] | None = None) -> None:
    """Run one worker until SIGINT or SIGTERM.

    Raises
    ------
    ConfigurationError
        If the topics are not as they must be, or the pages' address is taken.
    TransportError
        If Kafka cannot be reached for RECSTREAM_OUTAGE_SECONDS, or refuses a record.
    """
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
        self._renewed_at = -math.inf
        self._seeded_epochs: set[int] = set()
        self._seed_compared = False
        self._notices = Notices()

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
        report = Report(parts)
        sites = await _serve_pages(parts, report)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(parts.pipeline.run()),
            asyncio.create_task(parts.shadow.run()),
        ]
        exit_code, begins_again = 1, False
        try:
            begins_again = await self._live(parts, report, stop, tasks)
            exit_code = 0
        finally:
            hangs = await _stop(parts, report, sites, tasks)
            if begins_again:
                _begin_again()
            if hangs is not None:
                _leave(hangs, exit_code)

    async def _live(
        self,
        parts: Parts,
        report: Report,
        stop: asyncio.Future[None],
        tasks: list[asyncio.Task[Any]],
    ) -> bool:
        """Return at a signal; tell whether to begin again, because Faust did not outlast Kafka."""
        ends = [stop, self._failure]
        try:
            if await self._is_to_join(parts, ends, tasks):
                await parts.app.start()
                tasks += [asyncio.create_task(timer) for timer in self._timers(parts, report)]
                tasks.append(asyncio.create_task(parts.app._crashed.wait()))
                await self._until(parts, ends, tasks)
        except Exception as error:
            if not is_outage(error):
                raise
            logger.warning("Faust has given up on Kafka (%r); waiting to begin again", error)
            return await self._outlast_outage(stop)
        return False

    async def _outlast_outage(self, stop: asyncio.Future[None]) -> bool:
        """Return when Kafka answers, or at a signal; tell whether to begin again.

        The pages go on, and heartbeats are tried: so they show when Kafka is back for good.
        """
        started = time.monotonic()
        while not stop.done():
            if await asyncio.to_thread(answers, self._settings):
                return True
            if time.monotonic() - started > self._settings.outage_seconds:
                raise TransportError(
                    "Kafka was away for longer than "
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
            logger.error("this worker ends: %s", error)
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

    def _timers(self, parts: Parts, report: Report) -> list[Coroutine[Any, Any, None]]:
        """Return what is done again and again: what waits for Kafka must not hold up the lease."""
        return [
            _again(TICK_SECONDS, "the look at leases and gauges", partial(self._look_on, parts)),
            _again(TICK_SECONDS, "the look at notices", partial(self._notice, parts, report)),
            _again(WATCH_SECONDS, "the look at topics", partial(follow_topics, parts)),
            _again(TICK_SECONDS, "the look at trainings", _owners(parts, _start_training)),
            _again(TICK_SECONDS, "the look at the ramp", _owners(parts, _move_ramp)),
            _again(TICK_SECONDS, "seeding", _owners(parts, self._seed)),
            _again(TICK_SECONDS, "the look at earlier heartbeats", parts.fleet.reach_back),
            _again(HEARTBEAT_SECONDS, "a heartbeat", partial(_beat, parts, report)),
            _again(TRIM_SECONDS, "giving memory back", partial(asyncio.to_thread, trim_memory)),
        ]

    async def _look_on(self, parts: Parts) -> None:
        """Look once; while nothing is answered yet, go on looking."""
        starts = not parts.node.recovered_once
        await self._look(parts)
        while not parts.node.recovered_once:
            await asyncio.sleep(START_TICK_SECONDS)
            await self._look(parts)
        if starts:
            self._stages.end("joining")
            logger.info("answering after %s", self._stages)

    async def _look(self, parts: Parts) -> None:
        node, table, now = parts.node, parts.table, time.time()
        if table.recovered:
            node.note_recovery()
            self._compare_seed(node)
            if table.is_owner:
                self._keep_log(parts, now)
        node.refresh()
        node.update_gauges()
        node.metrics.fleet_workers.set(len(live(node.view.fleet, now)))
        parts.ramp.show(now)

    async def _notice(self, parts: Parts, report: Report) -> None:
        consumer = parts.app.consumer
        if isinstance(consumer, SliceConsumer):
            progress = consumer.progress(parts.topics.requests.name)
            parts.transactions.look(progress, time.monotonic())
            cut_off = consumer.cut_off.pop(parts.topics.requests.name, 0)
            parts.metrics.requests_cut_off.inc(cut_off)
            parts.losses.note(cut_off, datetime.now(UTC))
        await parts.publishing.look(time.monotonic())
        await parts.access.look(time.monotonic())
        kafka = report.kafka_reason()
        away = () if kafka is None else (Notice(kafka.code, kafka.message),)
        self._notices.log([*report.notices(), *away])

    def _keep_log(self, parts: Parts, now: float) -> None:
        """Mend the log where somebody misses it, and serve workers of the release before."""
        parts.table.mend()
        elapsed = time.monotonic()  # the wall clock may be set back, and nobody would renew
        due = elapsed - self._renewed_at >= self._settings.lease_seconds / LEASE_RENEWALS
        if due and parts.node.view.knows_fleet(now):
            self._renewed_at = elapsed
            parts.table.serve_predecessors(now)

    def _compare_seed(self, node: Node) -> None:
        """Say once, at a restart, that the environment's variables no longer decide."""
        state = node.view.state
        if self._seed_compared or state is None:
            return
        self._seed_compared = True
        is_older = datetime.fromisoformat(state.updated_at) < node.started_at
        if is_older and (notice := seed_notice(self._settings, state)):
            logger.warning("%s", notice)

    async def _seed(self, parts: Parts) -> None:
        """Issue the next seed, at most one for each state; beside a primary only if it is ours."""
        state = parts.node.view.state
        epoch = NO_EPOCH if state is None else state.epoch
        if epoch in self._seeded_epochs or (state is not None and not self._seeded_epochs):
            return
        latest = await asyncio.to_thread(parts.node.store.latest)
        seed = next_seed(parts.settings, state, latest, f"seed-{uuid.uuid4()}")
        if seed is not None:
            topic = parts.topics.control.name
            await parts.delivery.send([Outgoing(topic, seed.environment.encode(), encode(seed))])
        self._seeded_epochs.add(epoch)


async def _again(seconds: float, what: str, act: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await act()
        except (TransportError, RefusedRecord, ArtifactError) as error:  # the next time may go well
            logger.warning("%s failed: %s", what, error)
        except Exception:  # the edge of a timer: a bug must not stop the others
            logger.exception("%s failed", what)
        await asyncio.sleep(seconds)


def _owners(
    parts: Parts, work: Callable[[Parts], Awaitable[None]]
) -> Callable[[], Awaitable[None]]:
    """Return `work` as the owner of the control partition does it, and nobody else."""

    async def work_if_owner() -> None:
        if parts.table.recovered and parts.table.is_owner:
            await work(parts)

    return work_if_owner


async def _start_training(parts: Parts) -> None:
    if parts.contact.reason(time.monotonic(), time.time()) is not None:
        return  # what an outage has ended is tried again when it is over
    if parts.node.view.knows_fleet(time.time()):  # or a run that goes on would seem interrupted
        parts.training.start_if_due(datetime.now(UTC))


async def _move_ramp(parts: Parts) -> None:
    now, view = time.time(), parts.node.view
    all_evidence_is_here = view.knows_fleet(now) and view.unheard_since(now) is None
    if all_evidence_is_here and not parts.watch.is_foreign(view.log):
        await parts.ramp.move(now)


async def _beat(parts: Parts, report: Report, *, stopping: bool = False) -> None:
    reasons = tuple(reason.code for reason in report.reasons())
    lag = sum(one.lag for one in report.lag())
    await parts.fleet.beat(reasons, lag, report.partitions(), stopping=stopping)


async def _serve_pages(parts: Parts, report: Report) -> list[web.AppRunner]:
    """Serve the pages, and the metrics on a port of their own if they are to have one."""
    settings, pages = parts.settings, Pages(parts, report)
    host, port = settings.http_host, settings.http_port
    runners = [await _serve(pages.application(), "RECSTREAM_HTTP", host, port)]
    parts.fleet.url = "http://{}:{}/".format(*runners[0].addresses[0][:2])
    logger.info("pages at %s", parts.fleet.url)
    if settings.metrics_port is not None:
        host, port = settings.metrics_host or host, settings.metrics_port
        alone = await _serve(pages.metrics_alone(), "RECSTREAM_METRICS", host, port)
        runners.append(alone)
        logger.info("metrics at http://%s:%s/metrics", *alone.addresses[0][:2])
    return runners


async def _serve(app: web.Application, setting: str, host: str, port: int) -> web.AppRunner:
    runner = BoundedRunner(app, access_log=None, shutdown_timeout=LAST_ANSWERS_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except OSError as error:
        raise ConfigurationError(
            f"{setting}_HOST={host} {setting}_PORT={port}: {error.strerror or error}; "
            "must be an address of this machine and a free port, or 0 for any"
        ) from error
    return runner


async def _stop(
    parts: Parts,
    report: Report,
    sites: list[web.AppRunner],
    tasks: list[asyncio.Task[Any]],
) -> str | None:
    """Stop the parts in order; return what has not ended, None if all has."""
    await parts.training.stop()
    stopping = asyncio.create_task(_drain_and_stop(parts.app))
    await asyncio.wait([stopping], timeout=STOP_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_beat(parts, report, stopping=True), LAST_BEAT_SECONDS)
    parts.follower.stop()
    await parts.delivery.stop()
    await asyncio.gather(*(site.cleanup() for site in sites))
    parts.pipeline.stop()
    parts.shadow.stop()
    parts.node.residency.stop()
    if not stopping.done():
        return "Faust has not stopped"
    is_reading = parts.node.residency.is_reading or parts.entry.is_reading
    return "something is being read" if is_reading else None


def _begin_again() -> None:
    """Replace this process by the same worker, from its start: a crashed Faust cannot go on."""
    logger.info("Kafka answers again; this worker begins again")
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _leave(what: str, exit_code: int) -> None:
    """End the process at once: Python would wait for its threads, however long they take."""
    logger.warning("%s, and this worker was told to end: leaving without it", what)
    logging.shutdown()
    os._exit(exit_code)


async def _drain_and_stop(app: faust.App) -> None:
    if not app.started:  # it was told to end before it joined its group
        return
    if isinstance(app.consumer, SliceConsumer) and app.consumer.started:
        await app.consumer.drain()
    await app.stop()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
