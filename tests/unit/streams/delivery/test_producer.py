"""Delivery: each record of a batch is confirmed, replaced, given up or unconfirmed."""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import RefusedRecord, TransportError
from registry.settings import Settings
from streams.delivery.batch_confirmation import DeliveryBatch, Failure
from streams.delivery.outgoing import BY_KEY, Outgoing, Refusal, Unconfirmed
from streams.delivery.producer import Delivery

TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)
NO_SUCH_PARTITION = KafkaError(KafkaError._UNKNOWN_PARTITION)
PARTITIONS = 4
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
FORBIDDEN = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
REPORTED: Any = object()
"""The message of a report, at which the batch must not look."""


def run(story: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(60):
            await story

    asyncio.run(in_time())


async def is_confirmed(batch: DeliveryBatch) -> bool:
    await asyncio.sleep(0)  # lets the loop run what other threads have scheduled
    return batch.confirmed.done()


def a_batch(records: int = 3) -> DeliveryBatch:
    def end(batch: DeliveryBatch, failed: Sequence[Failure]) -> None:
        batch.unconfirmed.extend(failed)
        batch.end()

    sent = [Outgoing("responses", b"1", str(number).encode()) for number in range(records)]
    return DeliveryBatch(asyncio.get_running_loop(), sent, end)


@given(st.integers(0, 3), st.integers(0, 3), st.data())
def test_a_batch_is_confirmed_with_the_last_of_its_reports_and_its_seal_in_any_order(
    before: int, behind: int, data: st.DataObject
) -> None:
    """`before` records are reported while the batch is filled, `behind` when it is sealed."""

    async def story() -> None:
        batch = a_batch()
        for _ in range(before):
            batch.add()
            batch.report(0, False, None, REPORTED)
            assert not await is_confirmed(batch)
        for _ in range(behind):
            batch.add()
        late = data.draw(st.permutations(["seal", *["report"] * behind]))
        for step in late:
            assert not await is_confirmed(batch)
            batch.seal() if step == "seal" else batch.report(0, False, None, REPORTED)
        assert await is_confirmed(batch)
        assert batch.confirmed.result() is None

    run(story())


def test_a_batch_without_records_is_confirmed_by_its_seal() -> None:
    async def story() -> None:
        batch = a_batch()
        assert not await is_confirmed(batch)
        batch.seal()
        assert await is_confirmed(batch)

    run(story())


@each_cell("errors", [(TIMED_OUT, None), (None, TIMED_OUT), (TIMED_OUT, TIMED_OUT)])
def test_a_batch_with_one_unconfirmed_record_fails_once_all_are_reported(errors: Any) -> None:
    async def story() -> None:
        batch = a_batch()
        for _ in errors:
            batch.add()
        batch.seal()
        for place, error in enumerate(errors):
            assert not await is_confirmed(batch)
            batch.report(place, False, error, REPORTED)
        with pytest.raises(
            Unconfirmed, match=r"did not accept .* records of responses: .*timed out"
        ):
            await batch.confirmed
        error = batch.confirmed.exception()
        assert isinstance(error, TransportError)
        assert error.records == tuple(
            record for record, error in zip(batch.records, errors, strict=False) if error
        )

    run(story())


def test_a_batch_whose_waiter_has_left_is_reported_without_harm() -> None:
    async def story() -> None:
        loop, harm = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: harm.append(context))
        batch = a_batch()
        batch.add()
        batch.seal()
        batch.confirmed.cancel()
        batch.report(0, False, None, REPORTED)
        assert await is_confirmed(batch)
        assert batch.confirmed.cancelled()
        assert harm == []

    run(story())


def test_reports_from_another_thread_confirm_the_batch_on_the_loop() -> None:
    async def story() -> None:
        batch = a_batch()
        for _ in range(1_000):
            batch.add()
        reports = asyncio.to_thread(
            lambda: [batch.report(0, False, None, REPORTED) for _ in range(1_000)]
        )
        batch.seal()
        await asyncio.gather(reports, batch.confirmed)

    run(story())


class FakeProducer:
    """A librdkafka producer that reports each record at the next poll.

    `FORBIDDEN` topics are, a value of `b"huge"` is refused at once; one of `b"large"` is refused
    with all that was queued since the last flush, unless records are sent alone; one of `b"lost"`
    times out. Of `b"full"` the first finds no room. Each topic has `PARTITIONS`.
    """

    def __init__(self, config: dict[str, Any], logger: logging.Logger) -> None:
        self.alone = config.get("batch.num.messages") == 1
        self.produced: list[tuple[Any, ...]] = []
        self.partitions: list[int] = []
        self._full = True
        self._reports: queue.Queue[tuple[Callable[..., None], KafkaError | None] | None]
        self._reports = queue.Queue()

    def produce(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int,
        on_delivery: Callable[..., None],
        headers: Any = None,
    ) -> None:
        if value == b"huge":
            raise KafkaException(TOO_LARGE)
        if partition >= PARTITIONS:
            raise KafkaException(NO_SUCH_PARTITION)
        self.partitions.append(partition)
        if value == b"full" and self._full and not self.alone:
            raise BufferError("Local: Queue full")
        self.produced.append((topic, key, value, headers))
        self._reports.put((on_delivery, self._error(topic, value)))

    def _error(self, topic: str, value: Any) -> KafkaError | None:
        if topic == "forbidden":
            return FORBIDDEN
        if value == b"lost":
            return TIMED_OUT
        is_large = value == b"large" if self.alone else value in (b"large", b"neighbour")
        return TOO_LARGE if is_large else None

    def poll(self, timeout: float) -> None:
        if (report := self._reports.get()) is None:
            self._reports.put(None)  # flushed: no poll waits any more
        else:
            report[0](report[1], REPORTED)

    def flush(self, timeout: float) -> None:
        self._reports.put(None)


@asynccontextmanager
async def a_delivery(
    monkeypatch: pytest.MonkeyPatch, refusals: list[Refusal] | None = None
) -> AsyncIterator[tuple[Delivery, Callable[[bool], list[Any]]]]:
    monkeypatch.setattr("streams.delivery.producer.Producer", FakeProducer)
    delivery = Delivery(Settings(), (refusals if refusals is not None else []).append)
    delivery.start()

    def produced(alone: bool) -> list[Any]:
        producer: Any = delivery._producers.get(alone)
        return producer.produced if producer else []

    try:
        yield delivery, produced
    finally:
        await delivery.stop()


def test_records_are_queued_in_order_with_their_headers_and_confirmed_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with a_delivery(monkeypatch) as (delivery, produced):
            headers: list[tuple[str, str | bytes | None]] = [("reason", "empty")]
            await delivery.send(
                [Outgoing("responses", b"1", b"{}"), Outgoing("dead", None, None, headers)]
            )
            assert produced(False) == [
                ("responses", b"1", b"{}", None),
                ("dead", None, None, headers),
            ]
            assert produced(True) == []

    run(story())


def test_nothing_is_waited_for_where_nothing_was_sent_or_all_is_confirmed_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with a_delivery(monkeypatch) as (delivery, _):
            monkeypatch.setattr(FakeProducer, "produce", lambda *given: given[-1](None, REPORTED))
            for records in ([], [Outgoing("responses", b"1", b"{}")] * 3):
                await delivery.send(records)
                assert delivery._contact.silent_seconds(float("inf")) == 0.0

    run(story())


@pytest.mark.parametrize("value", [b"huge", b"large"])
def test_a_refused_record_without_a_substitute_is_reported_and_raised(
    monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    async def story() -> None:
        refusals: list[Refusal] = []
        async with a_delivery(monkeypatch, refusals) as (delivery, produced):
            large = Outgoing("t", None, value)
            with pytest.raises(RefusedRecord, match="of t for good") as error:
                await delivery.send([Outgoing("t", None, b"{}"), large])
            assert error.value.code == "too_large"
            assert [(refusal.place, refusal.record, refusal.cause) for refusal in refusals] == [
                (1, large, "too_large")
            ]
            assert len(produced(False)) == 1 + (value == b"large")

    run(story())


def test_what_was_refused_together_with_another_is_sent_again_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        refusals: list[Refusal] = []
        async with a_delivery(monkeypatch, refusals) as (delivery, produced):
            substitute = Outgoing("t", b"1", b"small")
            values = [b"neighbour", b"large", b"neighbour"]
            await delivery.send(
                [Outgoing("t", b"1", v, None, lambda _: substitute) for v in values]
            )
            assert [refusal.place for refusal in refusals] == [1]
            assert [value for _, _, value, _ in produced(True)] == [*values, b"small"]

    run(story())


def test_a_substitute_that_is_refused_has_its_own_substitute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        refusals: list[Refusal] = []
        async with a_delivery(monkeypatch, refusals) as (delivery, produced):
            last = Outgoing("dead", b"1", b"{}")
            second = Outgoing("forbidden", b"1", b"error", None, lambda _: last)
            await delivery.send([Outgoing("forbidden", b"1", b"ok", None, lambda _: second)])
            assert [refusal.cause for refusal in refusals] == ["unauthorized", "unauthorized"]
            assert [topic for topic, *_ in produced(True)] == ["forbidden", "dead"]

    run(story())


def test_a_bug_in_making_a_substitute_harms_the_one_record(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Refusal) -> Outgoing:
        raise KeyError("bug")

    async def story() -> None:
        async with a_delivery(monkeypatch) as (delivery, _):
            with pytest.raises(RefusedRecord):
                await delivery.send(
                    [Outgoing("t", None, b"large", None, broken), Outgoing("t", None, b"{}")]
                )
            assert "cannot be replaced" in caplog.text

    run(story())


def test_a_record_for_which_the_queue_has_no_room_is_sent_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with a_delivery(monkeypatch) as (delivery, produced):
            await delivery.send([Outgoing("t", None, b"full"), Outgoing("t", None, b"{}")])
            assert [value for _, _, value, _ in produced(False)] == [b"{}"]
            assert [value for _, _, value, _ in produced(True)] == [b"full"]

    run(story())


def test_a_record_goes_to_its_partition_or_by_its_key_where_there_is_none_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with a_delivery(monkeypatch) as (delivery, produced):
            numbers = (PARTITIONS - 1, PARTITIONS)
            await delivery.send(Outgoing("t", b"1", b"{}", partition=number) for number in numbers)
            assert delivery._producers[False].partitions == [PARTITIONS - 1]
            assert delivery._producers[True].partitions == [BY_KEY]
            assert len(produced(False)) == len(produced(True)) == 1

    run(story())


def test_an_outage_goes_before_a_refusal_and_names_only_what_is_unconfirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with a_delivery(monkeypatch) as (delivery, _):
            lost = Outgoing("t", None, b"lost")
            with pytest.raises(Unconfirmed) as error:
                await delivery.send([Outgoing("t", None, b"large"), lost, Outgoing("t", b"1", b"")])
            assert error.value.records == (lost,)

    run(story())
