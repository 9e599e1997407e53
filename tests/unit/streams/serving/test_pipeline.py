"""The pipeline of answers while Kafka does not confirm."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from harness.builders import NOW_MS, a_request_of, an_answering

from registry.kafka.topics import topics_of
from registry.settings import Settings
from streams.delivery.outgoing import Outgoing, Unconfirmed
from streams.delivery.producer import Delivery
from streams.metrics import Metrics
from streams.serving.batch_results import Batch
from streams.serving.deadline_and_latency import received_ms
from streams.serving.pipeline import FEW, Pipeline


class AwayAtFirst:
    """Stands in for Kafka: does not confirm the first batches."""

    def __init__(self, batches: int) -> None:
        self.loop: Any = None  # set once it runs: records are sent from the scoring thread
        self.left = batches
        self.batches: list[list[dict[str, Any]]] = []

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        records = list(records)
        self.batches.append([json.loads(record.value or b"") for record in records])
        self.left -= 1
        future: asyncio.Future[None] = self.loop.create_future()
        if self.left < 0:
            future.set_result(None)
        else:
            future.set_exception(Unconfirmed(records, "timed out"))
        return future


class Slice:
    """One event of the request topic: a list of records, acknowledged or not."""

    def __init__(self, *records: Any) -> None:
        self.acknowledged = 0
        self.value = list(records)
        self.message = SimpleNamespace(time_in=None)

    def ack(self) -> None:
        self.acknowledged += 1


def standing_at(at_ms: float) -> Callable[[], float]:
    return lambda: at_ms


def served(event: Slice, kafka: AwayAtFirst, clocks_ms: list[float]) -> list[Exception]:
    """Serve `event`, each time by the next clock; return what the worker would end for."""
    failures: list[Exception] = []

    async def story() -> None:
        clocks, kafka.loop = iter(clocks_ms), asyncio.get_running_loop()
        pipeline = Pipeline(
            topics_of(Settings()),
            cast(Delivery, kafka),
            Metrics(),
            lambda: an_answering({}, None, standing_at(next(clocks))),
            100,
            failures.append,
        )
        pipeline._answering_now = 1
        await pipeline._serve(cast(Any, [event]), await pipeline._wait_for_rules())
        pipeline.stop()

    asyncio.run(story())
    return failures


def test_what_kafka_does_not_confirm_is_answered_anew_and_acknowledged_once() -> None:
    event, kafka = Slice(a_request_of(1, "r1"), a_request_of(2, "r2")), AwayAtFirst(batches=2)

    assert served(event, kafka, [NOW_MS] * 3) == []

    assert [len(batch) for batch in kafka.batches] == [2, 2, 2]
    assert event.acknowledged == 1


def test_a_deadline_that_passes_in_an_outage_is_honoured() -> None:
    event, kafka = Slice(a_request_of(1, deadline_ms=500)), AwayAtFirst(batches=1)

    assert served(event, kafka, [NOW_MS, NOW_MS + 30_000]) == []

    assert [batch[0]["status"] for batch in kafka.batches] == ["error", "expired"]


def test_the_reading_of_a_batch_is_that_of_its_latest_slice_by_the_wall_clock() -> None:
    assert received_ms([40.0, 42.5], elapsed=45.0, now=1_000.0) == 997_500
    assert received_ms([40.0, 42.5, None], elapsed=45.0, now=1_000.0) == 1_000_000


def test_a_few_requests_are_answered_on_the_loop_once_they_are_known_to_be_quick() -> None:
    threads: list[str] = []

    class Confirming(AwayAtFirst):
        def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
            threads.append(threading.current_thread().name.partition("_")[0])
            return super().send(records)

    async def story() -> None:
        kafka, failures = Confirming(batches=0), list[Exception]()
        kafka.loop = asyncio.get_running_loop()
        pipeline = Pipeline(
            topics_of(Settings()),
            cast(Delivery, kafka),
            Metrics(),
            lambda: an_answering({}, None, standing_at(NOW_MS)),
            100,
            failures.append,
        )
        for requests, slow in ((1, 0), (1, 0), (FEW + 1, 0), (1, 0), (1, 1.0), (1, 0)):
            if slow:
                pipeline._work.note(1, slow)
            event = Slice(*(a_request_of(1, f"r{number}") for number in range(requests)))
            pipeline._answering_now += 1
            await pipeline._serve(cast(Any, [event]), await pipeline._wait_for_rules())
        pipeline.stop()
        assert failures == []

    asyncio.run(story())

    assert threads == ["scoring", "MainThread", "scoring", "MainThread", "scoring", "scoring"]


def test_why_a_version_cannot_score_is_logged_once_an_epoch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unused: Any = None
    pipeline = Pipeline(topics_of(Settings()), unused, Metrics(), unused, 100, unused)
    for epoch in (3, 3, 4):
        pipeline._count(Batch(epoch, failures={"v0.2": "ZeroDivisionError('a bug')"}))
    pipeline.stop()

    words = "v0.2 could not score a request: ZeroDivisionError('a bug')"
    assert [record.getMessage() for record in caplog.records] == [words] * 2
