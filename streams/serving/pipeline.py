"""The request agent and its pipeline: slices in, confirmed answers out.

The protocol, in the words that the documentation uses:

1. *merge*: all waiting slices become one batch, up to ``RECSTREAM_BATCH_REQUESTS``;
2. *answer*: the batch is decoded, routed and scored in a scoring thread, and its answers and dead
   letters are queued at the producer; under a backlog, two batches at once; a few requests that
   take no longer than a change of threads are answered on the event loop;
3. *confirm*: the delivery reports of this batch come in while the next one is being answered;
  answers that Kafka refuses for good are replaced (`streams.serving.undelivered_answers`);
4. *acknowledge*: only then are its slices acknowledged, and their offsets may be committed.

If Kafka does not confirm answers in time, because its brokers are unavailable, the requests are
answered again, by the rules of that moment; a request whose deadline has passed by then gets an
answer that says so. Meanwhile reading pauses automatically, at ``RECSTREAM_IN_FLIGHT_REQUESTS``. If
a worker dies between steps 2 and 4, another one answers those requests again: at least once, with
``request_id`` as the key for duplicates.

Knows the order of the steps; must not know how a request is answered (`streams.serving.answering`)
or which version answers it (`streams.serving.routing`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

import faust
from faust.types import EventT

from registry.errors import RefusedRecord
from registry.kafka.topics import Topics
from streams.delivery.dead_letters import dead_letter_record
from streams.delivery.outgoing import Unconfirmed
from streams.delivery.producer import Delivery
from streams.metrics import Metrics
from streams.serving.answer_writing import answer_records
from streams.serving.answering import Answering, answer_batch
from streams.serving.batch_results import Batch
from streams.serving.deadline_and_latency import known_latencies, received_ms
from streams.serving.probing import Prober
from streams.serving.undelivered_answers import RefusedAnswers

logger = logging.getLogger(__name__)

BATCHES_AT_ONCE: Final = 2
"""While one batch is in the scoring kernel, which leaves the interpreter free, another is decoded
or encoded. More than two would only share the same interpreter."""

WORTH_A_SECOND_BATCH: Final = 500
"""Requests that must wait for a second batch to begin beside the first. Fewer gain more from being
merged into the next one: two small batches cost nearly twice what one costs."""

FEW: Final = 16
"""Most requests that are answered on the event loop."""

SHORT_SECONDS: Final = 0.002
"""Processor time that answering them may take there: all else that the loop does waits for it. To
wake a scoring thread, and to be woken by it, takes a fifth of a millisecond."""

LATEST_TIMED: Final = 32
"""Small batches by which the next one is judged. While any of them was slow, as with large
catalogues or sessions to solve for, none is answered on the loop."""


class ShortWork:
    """Tells which batches are answered quickly enough for the event loop, by the latest ones."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=LATEST_TIMED)

    def note(self, requests: int, seconds: float) -> None:
        """Note how long it took to answer a batch; the time of a large one says nothing."""
        if 0 < requests <= FEW:
            self._seconds.append(seconds / requests)

    def is_short(self, requests: int) -> bool:
        """Tell whether so many requests may be answered on the event loop.

        >>> work = ShortWork()
        >>> work.is_short(1)
        False
        >>> work.note(2, seconds=0.0004)
        >>> [work.is_short(requests) for requests in (10, 11, 17)]
        [True, False, False]
        """
        if requests > FEW or not self._seconds:
            return False
        return requests * max(self._seconds) <= SHORT_SECONDS


class Pipeline:
    """Merges slices, answers them, and acknowledges them once confirmed; see the module.

    Parameters
    ----------
    topics
        Where answers and dead letters go.
    delivery
        Sends and confirms them.
    metrics
        Counts them.
    answering
        Returns what the next batch is answered with; None as long as that is not known yet (the
        table has not recovered, or the first version is still being loaded): requests then wait.
    max_batch
        Most records in one batch, give or take the last slice.
    on_failure
        Called when a batch could not be answered or delivered: the worker must end.
    listeners
        Called with each batch once it is confirmed, on the event loop: they must be quick.
    """

    def __init__(
        self,
        topics: Topics,
        delivery: Delivery,
        metrics: Metrics,
        answering: Callable[[], Answering | None],
        max_batch: int,
        on_failure: Callable[[Exception], None],
        listeners: Sequence[Callable[[Batch], None]] = (),
    ) -> None:
        self._listeners = listeners
        self._topics = topics
        self._delivery = delivery
        self._metrics = metrics
        self._answering = answering
        self._max_batch = max_batch
        self._on_failure = on_failure
        self._waiting: asyncio.Queue[EventT[Any]] = asyncio.Queue()
        self._scorer = ThreadPoolExecutor(BATCHES_AT_ONCE, thread_name_prefix="scoring")
        self._serving: set[asyncio.Task[None]] = set()
        self._waiting_records = 0
        self._answering_now = 0
        self._answered = asyncio.Event()
        self._prober = Prober(time.perf_counter)
        self._work = ShortWork()
        self._failed: set[tuple[int | None, str]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered, or waits to be."""
        return self._answering_now > 0 or self._waiting_records > 0

    def agent(self, app: faust.App, channel: Any) -> None:
        """Register the request agent."""

        @app.agent(channel, name="answer-requests")
        async def answer_requests(stream: Any) -> None:
            async for event in stream.noack().events():
                self._waiting.put_nowait(event)
                self._waiting_records += len(event.value)

    async def run(self) -> None:
        """Answer batches until cancelled."""
        while True:
            first = await self._waiting.get()
            await self._wait_for_room()
            events = self._merge(first)
            using = await self._wait_for_rules()
            self._answering_now += 1
            task = asyncio.create_task(self._serve(events, using))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _wait_for_room(self) -> None:
        """Return when no batch is being answered, or a second one is worth it."""
        while self._answering_now:
            enough = self._waiting_records >= WORTH_A_SECOND_BATCH
            if self._answering_now < BATCHES_AT_ONCE and enough:
                return
            self._answered.clear()
            await self._answered.wait()

    async def _wait_for_rules(self) -> Answering:
        while (using := self._answering()) is None:
            await asyncio.sleep(0.01)
        return using

    async def _serve(self, events: Sequence[EventT[Any]], using: Answering) -> None:
        records = [record for event in events for record in event.value]
        read_at = [event.message.time_in for event in events]
        read_ms = received_ms(read_at, time.monotonic(), time.time())
        try:
            try:
                batch, delivery = await self._answer(records, using, read_ms)
            finally:
                self._answering_now -= 1
                self._answered.set()
            while not await self._confirm(delivery):
                using = await self._wait_for_rules()
                batch, delivery = await self._answer(records, using, read_ms)
            self._acknowledge(events)
            self._count(batch)
        except Exception as error:  # the edge: unacknowledged requests must not be left behind
            self._on_failure(error)

    def _merge(self, first: EventT[Any]) -> list[EventT[Any]]:
        """1. Merge: make one batch of all slices that wait, up to its most records."""
        events = [first]
        records = len(first.value)
        while records < self._max_batch and not self._waiting.empty():
            events.append(self._waiting.get_nowait())
            records += len(events[-1].value)
        self._waiting_records -= records
        return events

    async def _answer(
        self, records: Sequence[Any], using: Answering, read_ms: float
    ) -> tuple[Batch, asyncio.Future[None]]:
        """2. Answer: score, and queue answers and dead letters for delivery."""
        loop = asyncio.get_running_loop()
        using = replace(using, received_ms=read_ms)
        if self._work.is_short(len(records)):
            return self._answer_and_send(records, using)
        return await loop.run_in_executor(self._scorer, self._answer_and_send, records, using)

    async def _confirm(self, delivery: asyncio.Future[None]) -> bool:
        """3. Confirm: wait for the delivery reports; False if Kafka did not answer in time.

        A record that it refused for good, together with what was to replace it, has been counted
        and logged by then: nothing more can be done.
        """
        try:
            with contextlib.suppress(RefusedRecord):
                await delivery
        except Unconfirmed:
            return False
        return True

    def _acknowledge(self, events: Sequence[EventT[Any]]) -> None:
        """4. Acknowledge: only now may the offsets of these slices be committed."""
        for event in events:
            event.ack()

    def _answer_and_send(
        self, records: Sequence[Any], using: Answering
    ) -> tuple[Batch, asyncio.Future[None]]:
        started = time.thread_time()
        batch = answer_batch(records, using)
        responses, letters = self._topics.responses.name, self._topics.dead_letter.name
        worker = using.origin.worker
        instead = RefusedAnswers(batch, letters, worker).instead
        outgoing = answer_records(responses, batch, instead)
        outgoing += [
            dead_letter_record(letters, dead.record, dead.error, worker)
            for dead in batch.dead_letters
        ]
        delivery = self._delivery.send(outgoing)
        self._prober.measure(batch, using.models)
        self._work.note(len(records), time.thread_time() - started)
        return batch, delivery

    def _count(self, batch: Batch) -> None:
        metrics = self._metrics
        for (version, variant, status), count in batch.counts.items():
            metrics.requests.labels(version, variant, status).inc(count)
        for reason, count in batch.fallbacks.items():
            metrics.fallbacks.labels(reason).inc(count)
        for version, seconds in batch.scoring_seconds.items():
            metrics.scoring.observe(version, [seconds])
        for dead in batch.dead_letters:
            metrics.dead_letters.labels(dead.record.topic, dead.error.code).inc()
        now_ms = time.time() * 1000
        for version, _, sent_ms in batch.sent:
            known = known_latencies(sent_ms, now_ms)
            metrics.latency.observe(version, known)
            metrics.negative_durations.labels("latency").inc(len(sent_ms) - len(known))
        self._log_failures(batch)
        for listener in self._listeners:
            listener(batch)

    def _log_failures(self, batch: Batch) -> None:
        """Log why a version could not score, once an epoch: it may fail at every request."""
        for version, why in batch.failures.items():
            if (batch.epoch, version) not in self._failed:
                self._failed.add((batch.epoch, version))
                logger.warning("%s could not score a request: %s", version, why)

    def stop(self) -> None:
        """Let go of the scoring threads."""
        self._scorer.shutdown(wait=False, cancel_futures=True)
