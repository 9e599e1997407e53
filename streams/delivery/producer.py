"""Confirmed delivery: one librdkafka producer, its delivery reports awaited per batch.

Knows how to send, when a batch is confirmed, and the outcome of each record. Must not know what it
sends: a record carries its own substitute for the case that Kafka refuses it for good
(``Outgoing.instead``), and `streams.delivery.kafka_errors` says which errors are such a refusal.

1. *send*: the records are queued, and the producer groups them into its own batches;
2. *alone*: records that were refused together with others, or found the queue full, are sent once
   more by a second producer, each in its own batch; so are those that name a partition that the
   topic does not have, then by their key;
3. *instead*: a record refused for good is reported, and its substitute is sent;
4. *resolve*: the batch is confirmed when each record, or its substitute, is.

Records still unconfirmed after librdkafka's own retries mean an outage, not a refusal: the batch
fails and names them (:class:`Unconfirmed`), and their sender decides whether they are still worth
sending. Requests whose answers are not confirmed must not be acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from registry.connection.client_config import client_config
from registry.kafka.topics import LARGE_RECORD_BYTES
from registry.settings import Settings
from streams.delivery.batch_confirmation import DeliveryBatch, Failure
from streams.delivery.kafka_errors import QUEUE_FULL, read_local_error
from streams.delivery.outgoing import BY_KEY, Outgoing, Refusal, Unconfirmed
from streams.watch.kafka_contact import Contact

logger = logging.getLogger(__name__)

DELIVERY_TIMEOUT_MS: Final = 30_000
"""How long librdkafka tries one record. Shorter than a change of leaders (20 s for a frozen one):
batches are answered again for nothing. Longer: an answer may be so much later than its deadline."""

QUEUE_RECORDS: Final = 1_000_000
"""Larger than what back-pressure lets in."""

FULL_SECONDS: Final = 0.05
"""Until a record is retried for which the client's queue had no room: answers of megabytes fill it
by their size."""

METADATA_MS: Final = 5_000
"""Between two looks at which partitions there are: until then, answers to requests of a new one go
to another number. The client's own default is 5 minutes."""

CLOSE_SECONDS: Final = 3.0

ALONE: Final = {"batch.num.messages": 1, "linger.ms": 0}
"""Of the producer that sends each record in a batch of its own."""


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
        Called in a thread with what the client complains of while it keeps trying.
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
            "partitioner": "murmur2_random",  # Java's
            "topic.metadata.refresh.interval.ms": METADATA_MS,
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
        batch = DeliveryBatch(self._loop, records, self._settle, self._contact.note_confirmed)
        self._queue(batch, range(len(batch.records)), alone=False)
        batch.seal()
        return batch.confirmed

    def _queue(self, batch: DeliveryBatch, places: Sequence[int], *, alone: bool) -> None:
        producer = self._producers.get(alone) or self._connect(alone=alone)
        produce, records = producer.produce, batch.records
        if places:
            self._contact.note_sent(time.monotonic())
        for place in places:
            topic, key, value, headers, _, partition = records[place]
            report = partial(batch.report, place, alone)
            try:
                if headers:
                    produce(topic, value, key, partition, on_delivery=report, headers=headers)
                else:  # by place: keywords take as long as all else
                    produce(topic, value, key, partition, report)
            except KafkaException as error:
                why: KafkaError = error.args[0]
                batch.note_failure(place, read_local_error(why.code()), why.str())
            except BufferError as error:
                batch.note_failure(place, QUEUE_FULL, str(error))
            else:
                batch.add()
        if batch.is_waiting:  # the first ones may be confirmed already
            self._contact.note_sent(time.monotonic())

    def _settle(self, batch: DeliveryBatch, failed: Sequence[Failure]) -> None:
        """Begin the next round, of what is tried alone or sent instead; without any, end."""
        again, pause = [], 0.0
        for failure in failed:
            kind = failure.meaning.kind
            if kind in ("company", "full"):
                again.append(failure.place)
                pause = FULL_SECONDS if kind == "full" else pause
            elif kind == "misplaced":
                again.append(failure.place)
                record = batch.records[failure.place]
                batch.records[failure.place] = record._replace(partition=BY_KEY)
            elif kind == "unconfirmed":
                batch.unconfirmed.append(failure)
            elif (substitute := self._substitute(batch, failure)) is not None:
                again.append(len(batch.records))
                batch.records.append(substitute)
            else:
                batch.given_up.append(failure)
        if again:
            self._loop.call_later(pause, self._send_alone, batch, again)
        else:
            batch.end()

    def _send_alone(self, batch: DeliveryBatch, places: Sequence[int]) -> None:
        self._queue(batch, places, alone=True)
        batch.seal()

    def _substitute(self, batch: DeliveryBatch, failure: Failure) -> Outgoing | None:
        """Report a refused record; return what is to be sent in its place."""
        record = batch.records[failure.place]
        assert failure.meaning.cause is not None
        refusal = Refusal(failure.place, record, failure.meaning.cause, failure.why)
        try:
            self._on_refusal(refusal)
            return record.instead(refusal) if record.instead else None
        except Exception:  # a bug in what is to replace one record must not lose the others
            logger.exception("a record of %s was refused and cannot be replaced", record.topic)
            return None

    def _poll(self, producer: Producer) -> None:
        while not self._stopping.is_set():
            producer.poll(0.1)


async def send_until_confirmed(delivery: Delivery, records: Iterable[Outgoing]) -> None:
    """Send records that must not be lost, and retry until Kafka has confirmed each one.

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
