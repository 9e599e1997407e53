"""Confirmed delivery: one librdkafka producer, its delivery reports awaited per batch.

Knows how to send and when a batch is confirmed. Must not know what it sends. A report that is an
error after librdkafka's own retries is final: the batch fails, and so does the worker, because
acknowledging its requests would lose answers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from registry.errors import TransportError
from registry.settings import Settings
from registry.topics import LARGE_RECORD_BYTES, client_config

DELIVERY_TIMEOUT_MS: Final = 60_000
"""How long librdkafka retries one record. Shorter: a broker's restart ends the workers."""

QUEUE_RECORDS: Final = 1_000_000
"""Larger than what back-pressure lets in, so that `produce` never finds the queue full."""

CLOSE_SECONDS: Final = 3.0


class Outgoing(NamedTuple):
    """One record to send."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]] | None = None


class _Batch:
    """Counts the delivery reports of one batch; resolves its future on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.confirmed: asyncio.Future[None] = loop.create_future()
        self._sent = 0  # written by the sending thread only
        self._reported = 0  # written by the polling thread only
        self._sealed = False
        self._error: KafkaError | Exception | None = None

    def add(self) -> None:
        self._sent += 1

    def refuse(self, error: Exception) -> None:
        """Note that the producer did not even queue a record."""
        self._error = error

    def seal(self) -> None:
        """No more records will be added."""
        self._sealed = True
        self._loop.call_soon_threadsafe(self._resolve)

    def report(self, error: KafkaError | None, _message: Message) -> None:
        """Librdkafka's callback, in the polling thread."""
        if error is not None:
            self._error = error
        self._reported += 1
        if self._sealed and self._reported == self._sent:
            self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        if self._reported < self._sent or self.confirmed.done():
            return
        if self._error is None:
            self.confirmed.set_result(None)
        else:
            self.confirmed.set_exception(
                TransportError(f"Kafka did not take a record: {self._error}")
            )


class Delivery:
    """A producer whose batches are confirmed as a whole. Start it on a running event loop."""

    def __init__(self, settings: Settings) -> None:
        self._config: dict[str, Any] = client_config(settings) | {
            "acks": "all",
            "linger.ms": 1,
            "message.timeout.ms": DELIVERY_TIMEOUT_MS,
            "message.max.bytes": LARGE_RECORD_BYTES,
            "queue.buffering.max.messages": QUEUE_RECORDS,
            "queue.buffering.max.kbytes": 1_000_000,
        }
        self._stopping = threading.Event()

    def start(self) -> None:
        """Connect, and begin to serve delivery reports in a thread."""
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(self._config)
        self._thread = threading.Thread(target=self._poll, name="delivery", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Send what is queued, for a few seconds at most, and end."""
        await self._loop.run_in_executor(None, self._producer.flush, CLOSE_SECONDS)
        self._stopping.set()
        await self._loop.run_in_executor(None, self._thread.join, CLOSE_SECONDS)

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        """Queue `records`, in order; may be called from any thread.

        Returns
        -------
        asyncio.Future
            Done when Kafka has confirmed each record; raises TransportError if it refused one.
        """
        batch = _Batch(self._loop)
        produce = self._producer.produce
        for topic, key, value, headers in records:
            try:
                produce(topic, value, key, on_delivery=batch.report, headers=headers or [])
            except (KafkaException, BufferError) as error:
                batch.refuse(error)
                break
            batch.add()
        batch.seal()
        return batch.confirmed

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.1)
