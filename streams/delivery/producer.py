"""Confirmed delivery: one librdkafka producer, its delivery reports awaited per batch.

Knows how to send, when a batch is confirmed, and how each record of it ended. Must not know what it
sends: a record brings along what is to be sent in its place if Kafka refuses it for good
(``Outgoing.instead``), and `streams.delivery.kafka_errors` says which errors are such a refusal.

1. *send*: the records are queued, and the producer makes batches of its own of them;
2. *alone*: what was refused together with others, or found the queue full, is sent once more by
   a second producer, in a batch of its own;
3. *instead*: what is refused for good is reported, and its substitute is sent;
4. *resolve*: the batch is confirmed when each record, or what was sent instead, is.

What nobody confirmed after librdkafka's own retries is no refusal but an outage: the batch fails
with the records it is about (:class:`Unconfirmed`), and whoever sent them decides whether the same
is still worth sending. Requests whose answers are not confirmed must not be acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from registry.connection.client_config import client_config
from registry.error_codes import RefusalCause
from registry.errors import RefusedRecord, TransportError
from registry.kafka.topics import LARGE_RECORD_BYTES
from registry.settings import Settings
from streams.delivery.kafka_errors import QUEUE_FULL, Verdict, broker_verdict, local_verdict
from streams.watch.contact import Contact

logger = logging.getLogger(__name__)

DELIVERY_TIMEOUT_MS: Final = 30_000
"""How long librdkafka tries one record. Shorter than a change of leaders (20 s for a frozen one):
batches are answered again for nothing. Longer: an answer may be so much later than its deadline."""

QUEUE_RECORDS: Final = 1_000_000
"""Larger than what back-pressure lets in."""

FULL_SECONDS: Final = 0.05
"""Until a record is tried again for which the client's queue had no room: answers of megabytes fill
it by their size."""

CLOSE_SECONDS: Final = 3.0

ALONE: Final = {"batch.num.messages": 1, "linger.ms": 0}
"""Of the producer that sends each record in a batch of its own."""

Headers = list[tuple[str, str | bytes | None]]


class Outgoing(NamedTuple):
    """One record to send, and what makes the one to send if Kafka refuses it; None: nothing."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    instead: Callable[[Refusal], Outgoing | None] | None = None


class Refusal(NamedTuple):
    """A record that Kafka will never take; ``place`` is its index in what was sent."""

    place: int
    record: Outgoing
    cause: RefusalCause
    why: str


class Unconfirmed(TransportError):
    """Kafka did not confirm these ``records`` in time: they may be there or not, nobody knows."""

    def __init__(self, records: Sequence[Outgoing], why: str) -> None:
        topics = ", ".join(sorted({one.topic for one in records}))
        super().__init__(f"Kafka did not take {len(records)} records of {topics}: {why}")
        self.records = tuple(records)


class Failed(NamedTuple):
    """What became of a record that was not confirmed."""

    place: int
    verdict: Verdict
    why: str


class _Batch:
    """Counts the delivery reports of one batch, round by round; resolves its future on the loop.

    In the first round all records are sent, in the next ones what `settle` sends again. It is
    called on the loop with what failed in a round, and ends the batch when nothing is to be sent.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        records: Iterable[Outgoing],
        settle: Callable[[_Batch, Sequence[Failed]], None],
        note_answer: Callable[[], None] = lambda: None,
    ) -> None:
        self._note_answer = note_answer
        self._loop = loop
        self._settle = settle
        self.records = list(records)
        self.unconfirmed: list[Failed] = []
        self.given_up: list[Failed] = []
        self.confirmed: asyncio.Future[None] = loop.create_future()
        self._sent = 0  # written by the sending thread only
        self._reported = 0  # written by one polling thread in each round
        self._sealed = False
        self._failed: list[Failed] = []

    def add(self) -> None:
        """Count a record that was queued."""
        self._sent += 1

    def note_failure(self, place: int, verdict: Verdict, why: str) -> None:
        """Note how the record at `place` failed in this round."""
        self._failed.append(Failed(place, verdict, why))

    def seal(self) -> None:
        """No more records will be added in this round."""
        self._sealed = True
        self._loop.call_soon_threadsafe(self._resolve)

    def report(self, place: int, alone: bool, error: KafkaError | None, _message: Message) -> None:
        """Librdkafka's callback, in a polling thread."""
        verdict = None if error is None else broker_verdict(error.code(), alone=alone)
        if error is not None and verdict is not None:
            self.note_failure(place, verdict, error.str())
        if verdict is None or verdict.kind != "unconfirmed":  # a refusal is an answer, too
            self._note_answer()
        self._reported += 1
        if self._sealed and self._reported == self._sent:
            self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        """End the round if it is over; called more than once in some rounds."""
        if not self._sealed or self._reported < self._sent or self.confirmed.done():
            return
        failed, self._failed = self._failed, []
        if failed:
            self._sealed, self._sent, self._reported = False, 0, 0
            self._settle(self, failed)
        else:
            self.end()

    def end(self) -> None:
        """Resolve the future: nothing is on its way any more."""
        if self.unconfirmed:
            records = [self.records[one.place] for one in self.unconfirmed]
            self.confirmed.set_exception(Unconfirmed(records, self.unconfirmed[0].why))
        elif self.given_up:
            topic, failed = self.records[self.given_up[0].place].topic, self.given_up[0]
            self.confirmed.set_exception(refused_record(topic, failed.verdict.cause, failed.why))
        else:
            self.confirmed.set_result(None)


class Delivery:
    """A producer whose batches are confirmed as a whole. Start it on a running event loop.

    Parameters
    ----------
    settings
        Where Kafka is.
    on_refusal
        Called on the loop with each record that Kafka refuses for good, to count and report it.
    contact
        Hears of what is sent and confirmed.
    on_complaint
        Called in a thread with what the client complains of while it tries on by itself.
    """

    def __init__(
        self,
        settings: Settings,
        on_refusal: Callable[[Refusal], None] = lambda _: None,
        contact: Contact | None = None,
        on_complaint: Callable[[KafkaError], None] = lambda _: None,
    ) -> None:
        self._on_refusal = on_refusal
        self._contact = contact or Contact(settings.outage_seconds)
        self._config: dict[str, Any] = client_config(settings) | {
            "error_cb": on_complaint,
            "acks": "all",
            "linger.ms": 1,
            "message.timeout.ms": DELIVERY_TIMEOUT_MS,
            "message.max.bytes": LARGE_RECORD_BYTES,
            "queue.buffering.max.messages": QUEUE_RECORDS,
            "queue.buffering.max.kbytes": 1_000_000,
        }
        self._stopping = threading.Event()
        self._producers: dict[bool, Producer] = {}  # the one that sends records alone is True
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Connect, and begin to serve delivery reports in a thread."""
        self._loop = asyncio.get_running_loop()
        self._connect(alone=False)

    def _connect(self, *, alone: bool) -> Producer:
        self._producers[alone] = producer = Producer(
            self._config | (ALONE if alone else {}), logger=logging.getLogger("librdkafka")
        )
        thread = threading.Thread(target=self._poll, args=[producer], name="delivery", daemon=True)
        self._threads.append(thread)
        thread.start()
        return producer

    async def stop(self) -> None:
        """Send what is queued, for a few seconds at most, and end."""
        for producer in self._producers.values():
            await self._loop.run_in_executor(None, producer.flush, CLOSE_SECONDS)
        self._stopping.set()
        for thread in self._threads:
            await self._loop.run_in_executor(None, thread.join, CLOSE_SECONDS)

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        """Queue `records`, in order; may be called from any thread.

        Returns
        -------
        asyncio.Future
            Done when Kafka has confirmed each record, or what was sent in its place. Raises
            Unconfirmed if it did not in time; RefusedRecord if all others are confirmed, and one
            was refused for good and had no substitute.
        """
        batch = _Batch(self._loop, records, self._settle, self._contact.note_confirmed)
        self._queue(batch, range(len(batch.records)), alone=False)
        batch.seal()
        return batch.confirmed

    def _queue(self, batch: _Batch, places: Iterable[int], *, alone: bool) -> None:
        producer = self._producers.get(alone) or self._connect(alone=alone)
        produce, records = producer.produce, batch.records
        for place in places:
            topic, key, value, headers, _ = records[place]
            report = partial(batch.report, place, alone)
            self._contact.note_sent(time.monotonic())
            try:
                produce(topic, value, key, on_delivery=report, headers=headers or [])
            except KafkaException as error:
                why: KafkaError = error.args[0]
                batch.note_failure(place, local_verdict(why.code()), why.str())
            except BufferError as error:
                batch.note_failure(place, QUEUE_FULL, str(error))
            else:
                batch.add()

    def _settle(self, batch: _Batch, failed: Sequence[Failed]) -> None:
        """Begin the next round, of what is tried alone or sent instead; without any, end."""
        again, pause = [], 0.0
        for one in failed:
            kind = one.verdict.kind
            if kind in ("company", "full"):
                again.append(one.place)
                pause = FULL_SECONDS if kind == "full" else pause
            elif kind == "unconfirmed":
                batch.unconfirmed.append(one)
            elif (substitute := self._substitute(batch, one)) is not None:
                again.append(len(batch.records))
                batch.records.append(substitute)
            else:
                batch.given_up.append(one)
        if again:
            self._loop.call_later(pause, self._send_alone, batch, again)
        else:
            batch.end()

    def _send_alone(self, batch: _Batch, places: Sequence[int]) -> None:
        self._queue(batch, places, alone=True)
        batch.seal()

    def _substitute(self, batch: _Batch, failed: Failed) -> Outgoing | None:
        """Report a refused record; return what is to be sent in its place."""
        record = batch.records[failed.place]
        assert failed.verdict.cause is not None
        refusal = Refusal(failed.place, record, failed.verdict.cause, failed.why)
        try:
            self._on_refusal(refusal)
            return record.instead(refusal) if record.instead else None
        except Exception:  # a bug in what is to replace one record must not lose the others
            logger.exception("a record of %s was refused and cannot be replaced", record.topic)
            return None

    def _poll(self, producer: Producer) -> None:
        while not self._stopping.is_set():
            producer.poll(0.1)


def refused_record(topic: str, cause: RefusalCause | None, why: str) -> RefusedRecord:
    """Return the error of a record that was refused for good and had no substitute."""
    return RefusedRecord(
        f"Kafka refused a record of {topic} for good: {why}", cause or RefusalCause.INVALID
    )


async def send_until_confirmed(delivery: Delivery, records: Iterable[Outgoing]) -> None:
    """Send what must not be missing, again and again until Kafka has confirmed each record.

    Raises
    ------
    RefusedRecord
        If Kafka refused one for good, and it had no substitute.
    """
    left = tuple(records)
    while True:
        try:
            return await delivery.send(left)
        except Unconfirmed as error:
            logger.info("%s; sending again", error)
            left = error.records
