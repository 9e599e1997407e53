"""The timers of a worker: all its periodic work.

Each runs independently, so a timer that waits for Kafka delays no other, and one that fails is
retried. Knows when; must not know how anything is done.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from registry.errors import ArtifactError, RefusedRecord, TransportError
from registry.guardrails.live_workers import live
from registry.heap_trim import trim_memory
from streams.control.fleet_agent import HEARTBEAT_SECONDS
from streams.control.heartbeat_follower import hear_earlier
from streams.kafka.slices import SliceConsumer
from streams.logs.start_stages import Stages
from streams.observers import Observers
from streams.parts import Parts
from streams.state.rollout_table import LEASE_RENEWALS
from streams.topic_follower import follow_topics
from streams.watch.notice_log import Notices
from streams.watch.notices import Notice
from streams.watch.topic_watch import WATCH_SECONDS

logger = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.5
"""Between two looks at what only time changes: leases, retries, schedules, gauges."""

TRIM_SECONDS: Final = 60.0
"""Between two returns of free memory to the system: batches and loads of all sizes fragment the
heap's arenas, which grew by half a megabyte a minute though no object was left behind."""

START_TICK_SECONDS: Final = 0.02
"""The same until the first answer: users wait for it."""


class Timers:
    """Those of one worker; ``stages`` learns when it begins to answer."""

    def __init__(self, parts: Parts, observers: Observers, stages: Stages) -> None:
        self._parts = parts
        self._observers = observers
        self._stages = stages
        self._renewed_at = -math.inf
        self._claimed = False
        self._notices = Notices()

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Return the periodic work: what waits for Kafka must not delay the lease."""
        parts = self._parts
        follow = partial(
            follow_topics,
            parts.watch,
            parts.app,
            parts.table,
            parts.node.view,
            parts.metrics,
            parts.items,
            (
                parts.interactions.note_made_again,
                parts.outcomes.note_made_again,
                parts.new_items.note_made_again,
            ),
        )
        reach_back = partial(hear_earlier, parts.settings, parts.topics.fleet, parts.node.view)
        return [
            _repeat(TICK_SECONDS, "looking at leases and gauges", self._look_on),
            _repeat(TICK_SECONDS, "looking at notices", self._notice),
            _repeat(WATCH_SECONDS, "looking at topics", follow),
            _repeat(TICK_SECONDS, "looking at trainings", self._as_owner(self._start_training)),
            _repeat(TICK_SECONDS, "looking at the ramp", self._as_owner(self._move_ramp)),
            _repeat(TICK_SECONDS, "seeding", self._as_owner(parts.seeds.seed)),
            _repeat(TICK_SECONDS, "reading earlier heartbeats", reach_back),
            _repeat(HEARTBEAT_SECONDS, "sending a heartbeat", self.beat),
            _repeat(TRIM_SECONDS, "returning memory", partial(asyncio.to_thread, trim_memory)),
        ]

    def _as_owner(self, act: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Return `act` as the owner of the control partition does it, and nobody else."""

        async def act_if_owner() -> None:
            if self._parts.table.recovered and self._parts.table.is_owner:
                await act()

        return act_if_owner

    async def _look_on(self) -> None:
        """Look once; keep looking until something is answered."""
        starts = not self._parts.node.recovered_once
        await self._look()
        while not self._parts.node.recovered_once:
            await asyncio.sleep(START_TICK_SECONDS)
            await self._claim()
            await self._look()
        if starts:
            self._stages.end("joining")
            logger.info("answering after %s", self._stages)

    async def _claim(self) -> None:
        """Renew the lease as soon as this worker may: nobody answers before somebody does."""
        table = self._parts.table
        may = table.recovered and table.is_owner and self._parts.seeds.is_settled
        if may and not self._claimed:
            self._claimed = True
            await self.beat()

    async def _look(self) -> None:
        node, table, now = self._parts.node, self._parts.table, time.time()
        if table.recovered:
            node.note_recovery()
            self._parts.seeds.compare(node.started_at)
            if table.is_owner:
                self._keep_log(now)
        node.refresh()
        node.update_gauges()
        node.metrics.fleet_workers.set(len(live(node.view.fleet, now)))
        self._parts.ramp.show(now)
        self._parts.experiment.show(now)
        items = self._parts.items
        node.metrics.catalogue_items.set(items.known)
        node.metrics.catalogue_withdrawn.set(items.withdrawn)
        node.metrics.catalogue_lag.set(items.lag)
        self._parts.fresh.show(node.metrics)

    async def _notice(self) -> None:
        consumer = self._parts.app.consumer
        if isinstance(consumer, SliceConsumer):
            progress = consumer.progress(self._parts.topics.requests.name)
            self._parts.transactions.look(progress, time.monotonic())
            cut_off = consumer.cut_off.pop(self._parts.topics.requests.name, 0)
            self._parts.metrics.requests_cut_off.inc(cut_off)
            self._parts.losses.note(cut_off, datetime.now(UTC))
        await self._parts.publishing.look(time.monotonic())
        await self._parts.access.look(time.monotonic())
        kafka = self._observers.kafka.reason()
        away = () if kafka is None else (Notice(kafka.code, kafka.message),)
        self._notices.log([*self._observers.notices.notices(), *away])

    def _keep_log(self, now: float) -> None:
        """Mend the log where somebody misses it, and serve workers of the previous release."""
        self._parts.table.mend(now)
        elapsed = time.monotonic()  # the wall clock may be set back, and nobody would renew
        due = elapsed - self._renewed_at >= self._parts.settings.lease_seconds / LEASE_RENEWALS
        if due and self._parts.node.view.knows_fleet(now):
            self._renewed_at = elapsed
            self._parts.table.serve_predecessors(now)

    async def _start_training(self) -> None:
        if self._parts.contact.reason(time.monotonic(), time.time()) is not None:
            return  # what an outage has ended is tried again when it is over
        # before the fleet is known, a run in progress would seem interrupted
        if self._parts.node.view.knows_fleet(time.time()):
            self._parts.training.start_if_due(datetime.now(UTC))

    async def _move_ramp(self) -> None:
        now, view = time.time(), self._parts.node.view
        all_evidence_is_here = view.knows_fleet(now) and view.unheard_since(now) is None
        if all_evidence_is_here and not self._parts.watch.is_foreign(view.log):
            await self._parts.ramp.move(now)

    async def beat(self, *, stopping: bool = False) -> None:
        """Send this worker's heartbeat."""
        progress = self._observers.progress
        reasons = tuple(reason.code for reason in self._observers.readiness.reasons())
        lag = sum(progress.lags().values())
        await self._parts.fleet.beat(
            reasons, lag, progress.partitions(), self._parts.fresh.behind, stopping=stopping
        )


async def _repeat(seconds: float, what: str, act: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await act()
        except (TransportError, RefusedRecord, ArtifactError) as error:  # the next time may go well
            logger.warning("%s failed: %s", what, error)
        except Exception:  # the edge of a timer: a bug must not stop the others
            logger.exception("%s failed", what)
        await asyncio.sleep(seconds)
