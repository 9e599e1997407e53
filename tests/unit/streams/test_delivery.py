"""Delivery: a batch is confirmed when Kafka has reported each record, and fails if one failed."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import TransportError
from registry.settings import Settings
from streams.delivery import Delivery, Outgoing, _Batch

TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)
REPORTED: Any = object()
"""The message of a report, at which the batch must not look."""


def run(story: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(5):
            await story

    asyncio.run(in_time())


async def is_confirmed(batch: _Batch) -> bool:
    await asyncio.sleep(0)  # lets the loop run what other threads have scheduled
    return batch.confirmed.done()


@given(st.integers(0, 3), st.integers(0, 3), st.data())
def test_a_batch_is_confirmed_with_the_last_of_its_reports_and_its_seal_in_any_order(
    before: int, behind: int, data: st.DataObject
) -> None:
    """`before` records are reported while the batch is filled, `behind` when it is sealed."""

    async def story() -> None:
        batch = _Batch(asyncio.get_running_loop())
        for _ in range(before):
            batch.add()
            batch.report(None, REPORTED)
            assert not await is_confirmed(batch)
        for _ in range(behind):
            batch.add()
        late = data.draw(st.permutations(["seal", *["report"] * behind]))
        for step in late:
            assert not await is_confirmed(batch)
            batch.seal() if step == "seal" else batch.report(None, REPORTED)
        assert await is_confirmed(batch)
        assert batch.confirmed.result() is None

    run(story())


def test_a_batch_without_records_is_confirmed_by_its_seal() -> None:
    async def story() -> None:
        batch = _Batch(asyncio.get_running_loop())
        assert not await is_confirmed(batch)
        batch.seal()
        assert await is_confirmed(batch)

    run(story())


@pytest.mark.parametrize("errors", [(TIMED_OUT, None), (None, TIMED_OUT), (TIMED_OUT, TIMED_OUT)])
def test_a_batch_with_one_failed_record_fails_once_all_are_reported(errors: Any) -> None:
    async def story() -> None:
        batch = _Batch(asyncio.get_running_loop())
        for _ in errors:
            batch.add()
        batch.seal()
        for error in errors:
            assert not await is_confirmed(batch)
            batch.report(error, REPORTED)
        with pytest.raises(TransportError, match=r"did not take a record: .*timed out"):
            await batch.confirmed

    run(story())


def test_a_batch_whose_waiter_has_left_is_reported_without_harm() -> None:
    async def story() -> None:
        loop, harm = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: harm.append(context))
        batch = _Batch(loop)
        batch.add()
        batch.seal()
        batch.confirmed.cancel()
        batch.report(None, REPORTED)
        assert await is_confirmed(batch)
        assert batch.confirmed.cancelled()
        assert harm == []

    run(story())


def test_reports_from_another_thread_confirm_the_batch_on_the_loop() -> None:
    async def story() -> None:
        batch = _Batch(asyncio.get_running_loop())
        for _ in range(1_000):
            batch.add()
        reports = asyncio.to_thread(lambda: [batch.report(None, REPORTED) for _ in range(1_000)])
        batch.seal()
        await asyncio.gather(reports, batch.confirmed)

    run(story())


class FakeProducer:
    """A librdkafka producer that reports each record at the next poll; refuses one of `b"huge"`."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.produced: list[tuple[Any, ...]] = []
        self._reports: queue.Queue[Callable[..., None] | None] = queue.Queue()

    def produce(
        self, topic: str, value: Any, key: Any, *, on_delivery: Callable[..., None], headers: Any
    ) -> None:
        if value == b"huge":
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        self.produced.append((topic, key, value, headers))
        self._reports.put(on_delivery)

    def poll(self, timeout: float) -> None:
        if (report := self._reports.get()) is None:
            self._reports.put(None)  # flushed: no poll waits any more
        else:
            report(None, REPORTED)

    def flush(self, timeout: float) -> None:
        self._reports.put(None)


@asynccontextmanager
async def a_delivery(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Delivery, Any]]:
    monkeypatch.setattr("streams.delivery.Producer", FakeProducer)
    delivery = Delivery(Settings())
    delivery.start()
    try:
        yield delivery, delivery._producer
    finally:
        await delivery.stop()


def test_records_are_queued_in_order_with_their_headers_and_confirmed_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with a_delivery(monkeypatch) as (delivery, producer):
            headers: list[tuple[str, str | bytes | None]] = [("reason", "empty")]
            await delivery.send(
                [Outgoing("responses", b"1", b"{}"), Outgoing("dead", None, None, headers)]
            )
            assert producer.produced == [
                ("responses", b"1", b"{}", []),
                ("dead", None, None, headers),
            ]

    run(story())


def test_a_record_that_the_producer_does_not_take_fails_its_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with a_delivery(monkeypatch) as (delivery, _):
            with pytest.raises(TransportError):
                await delivery.send([Outgoing("t", None, b"{}"), Outgoing("t", None, b"huge")])

    run(story())
