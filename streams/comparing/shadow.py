"""Shadow: the canary version scores requests that have already been answered.

Answers come first: an answer never waits for a comparison. Batches pass on their answers without
waiting; the queue is bounded and drops what does not fit; a small chunk of it is scored only while
no batch is being answered or waiting, in one thread that yields its core to all others. Under load
comparisons are shed, not answers, and counted by reason. Must not know who is sampled
(`registry.rollout.assignment`) or how two answers are compared (`registry.guardrails.overlap`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import numpy as np
from msgspec.structs import replace

from registry.error_codes import FallbackCode
from registry.kafka.topics import Topics
from registry.rollout.expected_epoch import NO_EPOCH
from registry.versions.model import Model
from registry.wire.codec import encode
from registry.wire.counts import ShadowCounts
from streams.comparing.shadow_scoring import ScoredChunk, score_chunk
from streams.delivery.outgoing import Outgoing
from streams.delivery.producer import Delivery
from streams.metrics import Metrics
from streams.serving.batch_results import Origin, Shadowed

logger = logging.getLogger(__name__)

CHUNK_REQUESTS: Final = 8
"""Requests scored at once. A batch that arrives in mid-chunk waits for the interpreter until the
chunk lets go of it: 0.3 ms for eight requests of k = 10. More would delay answers; fewer would cost
more changes of thread than scoring."""

CHUNK_ITEMS: Final = 1_000
"""Items asked for in one chunk, unless its only request asks for more: to build, compare and encode
each takes 1 µs of the interpreter. Without this bound eight of k = 1000 would hold it for 8 ms."""

BUSY_SECONDS: Final = 0.005
"""Between two looks while a batch is being answered: about the time that one takes. Shorter only
costs the event loop; longer leaves pauses between batches unused."""

REST_RATIO: Final = 4.0
"""How long to rest after a chunk, in times of what it took. Where cores are short, by whoever's
work, a chunk takes longer and so does the rest: comparisons give way before answers do. 0 would
take every pause between two batches; more sheds comparisons that there would be time for."""

NICENESS: Final = 10
"""By how much the thread yields to the other threads of its worker where cores are short. 0 would
share with them evenly; 19, the most, might keep the interpreter while it waits for a core."""

QUEUE_FULL: Final = "queue_full"
OLD_EPOCH: Final = "old_epoch"


class Shadow:
    """Compares the canary version's answers with those given. All but scoring is on the loop.

    Parameters
    ----------
    topics
        Where comparisons go.
    delivery
        Sends them; nobody waits for their confirmation.
    metrics
        Counts them.
    models
        Returns the versions in memory.
    is_busy
        Tells whether a batch is being answered or waits.
    origin
        This worker, as comparisons name it.
    queue_size
        Most answers that wait to be compared.
    """

    def __init__(
        self,
        topics: Topics,
        delivery: Delivery,
        metrics: Metrics,
        models: Callable[[], Mapping[str, Model]],
        is_busy: Callable[[], bool],
        origin: Origin,
        queue_size: int,
    ) -> None:
        self._topic = topics.shadow.name
        self._delivery = delivery
        self._metrics = metrics
        self._models = models
        self._is_busy = is_busy
        self._origin = origin
        self._queue_size = queue_size
        self._queue: deque[Shadowed] = deque()
        self._offered = asyncio.Event()
        self._epoch = NO_EPOCH
        self._counts = ShadowCounts()
        self._thread = ThreadPoolExecutor(1, "shadow", initializer=_yield_to_others)
        metrics.shadow_queue.set_function(lambda: len(self._queue))

    def offer(self, samples: Sequence[Shadowed]) -> None:
        """Take what fits of one batch's answers, drop the rest; never waits.

        Parameters
        ----------
        samples
            Answers under one state, so of one epoch and canary version; none is fine. Those of an
            older epoch than the newest seen are dropped: nobody asks about them any more.
        """
        if not samples:
            return
        first = samples[0]
        if first.epoch > self._epoch:
            self._begin(first.epoch)
        if first.epoch < self._epoch:
            self._drop(OLD_EPOCH, len(samples))
        elif first.canary_version not in self._models():
            self._drop(FallbackCode.VERSION_NOT_READY, len(samples))
        else:
            room = self._queue_size - len(self._queue)
            self._queue.extend(samples[:room])
            self._drop(QUEUE_FULL, len(samples[room:]))
            self._offered.set()

    def counts_at(self, epoch: int) -> ShadowCounts | None:
        """Return what came of the comparisons under the state of `epoch`; None unless newest."""
        return self._counts if epoch == self._epoch else None

    async def run(self) -> None:
        """Compare what is offered, while there is nothing better to do, until cancelled."""
        while True:
            await self._offered.wait()
            if self._is_busy():
                await asyncio.sleep(BUSY_SECONDS)
            elif chunk := self._next_chunk():
                started = time.perf_counter()
                await self._compare(chunk)
                await asyncio.sleep(REST_RATIO * (time.perf_counter() - started))

    def stop(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self, epoch: int) -> None:
        if self._queue:
            self._drop(OLD_EPOCH, len(self._queue))
            self._queue.clear()
        self._epoch = epoch
        self._counts = ShadowCounts()

    def _drop(self, reason: str, count: int) -> None:
        if not count:
            return
        self._metrics.shadow_dropped.labels(reason).inc(count)
        if reason != OLD_EPOCH:
            self._counts = replace(self._counts, dropped=self._counts.dropped + count)

    def _next_chunk(self) -> list[Shadowed]:
        chunk: list[Shadowed] = []
        items = 0
        while self._queue and len(chunk) < CHUNK_REQUESTS:
            items += self._queue[0].request.k
            if chunk and items > CHUNK_ITEMS:
                break
            chunk.append(self._queue.popleft())
        if not self._queue:
            self._offered.clear()
        return chunk

    async def _compare(self, chunk: Sequence[Shadowed]) -> None:
        model = self._models().get(chunk[0].canary_version)
        if model is None:
            self._drop(FallbackCode.VERSION_NOT_READY, len(chunk))
            return
        loop = asyncio.get_running_loop()
        try:
            done, sent = await loop.run_in_executor(
                self._thread, self._score_and_send, model, chunk
            )
        except Exception as error:  # what is off to the side must not end the worker
            self._count(chunk[0], ScoredChunk([], ShadowCounts(failed=len(chunk)), error))
            return
        sent.add_done_callback(partial(self._note_delivery, len(done.comparisons)))
        self._count(chunk[0], done)

    def _score_and_send(
        self, model: Model, chunk: Sequence[Shadowed]
    ) -> tuple[ScoredChunk, asyncio.Future[None]]:
        done = score_chunk(model, chunk, self._origin)
        return done, self._delivery.send(
            Outgoing(self._topic, key, encode(comparison)) for key, comparison in done.comparisons
        )

    def _note_delivery(self, comparisons: int, sent: asyncio.Future[None]) -> None:
        if not sent.cancelled() and sent.exception() is not None:
            self._metrics.shadow_failures.labels("delivery").inc(comparisons)

    def _count(self, first: Shadowed, done: ScoredChunk) -> None:
        metrics, counts = self._metrics, done.counts
        if counts.failed:
            if not self._counts.failed:  # once an epoch: a broken version fails at every request
                logger.warning("%s could not be compared: %r", first.canary_version, done.failure)
            metrics.shadow_failures.labels("scoring").inc(counts.failed)
        versions = first.primary_version, first.canary_version
        metrics.shadow_comparisons.labels(*versions).inc(counts.compared)
        overlap = metrics.shadow_overlap.labels(*versions)
        ranked = metrics.shadow_rank_biased_overlap.labels(*versions)
        for _, comparison in done.comparisons:
            overlap.observe(comparison.overlap)
            ranked.observe(comparison.rank_biased_overlap)
        seconds = np.array([comparison.canary_ms / 1000 for _, comparison in done.comparisons])
        metrics.shadow_scoring.observe(first.canary_version, seconds)
        if first.epoch == self._epoch:
            self._counts = self._counts.add(counts)


def _yield_to_others() -> None:
    """Raise the calling thread's niceness: Linux has one for each thread, others do not."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
