"""Sends a program's records, and says of each when Kafka has confirmed it.

An edge: one producer, and a thread that hears its reports. Must not know what a record holds.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from registry.asking.librdkafka_clients import ClientFactory
from registry.errors import TooManyRequests, TransportError
from registry.ids import UserId

POLL_SECONDS: Final = 0.1
"""How long the thread waits for a report, which wakes it; ending takes as long at most."""

CONTACT_SECONDS: Final = 1.0
"""How long connecting may wait for Kafka."""

FLUSH_SECONDS: Final = 5.0
"""How long closing waits for records that are not confirmed yet."""


class RecordSender:
    """Sends records keyed by user id; its thread runs until :meth:`close`."""

    def __init__(self, clients: ClientFactory) -> None:
        self._clients = clients
        self._producer = clients.producer()
        self._closing = threading.Event()
        self._has_contact = False
        self._thread = threading.Thread(target=self._report, name="recstream-sender", daemon=True)
        self._thread.start()

    def connect(self, topic: str) -> None:
        """Connect now, for `topic`, which must be there; an outage is left to :meth:`send`.

        Otherwise the first record waits a second: librdkafka gets the producer's id in steps of
        half a second, and does not begin before there is a connection.
        """
        with contextlib.suppress(KafkaException):
            self._producer.list_topics(topic, timeout=CONTACT_SECONDS)

    def send(
        self,
        topic: str,
        user_id: UserId,
        payload: bytes,
        confirm: Callable[[int], None],
        fail: Callable[[TransportError], None],
    ) -> None:
        """Send one record, without waiting.

        Parameters
        ----------
        topic, user_id, payload
            The record; its key is the id's text.
        confirm
            Called with the partition once Kafka has confirmed the record; in another thread.
        fail
            Called instead if Kafka does not.

        Raises
        ------
        TooManyRequests
            If too many records are waiting to be sent.
        TransportError
            If the client refuses the record.
        """

        def report(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                fail(self._clients.explained(error, f"a record for {topic} was not confirmed"))
            else:
                self._has_contact = True
                self._clients.note_contact()
                confirm(message.partition() or 0)

        try:
            self._producer.produce(topic, payload, str(user_id).encode(), on_delivery=report)
        except BufferError:
            raise TooManyRequests(
                f"{len(self._producer)} records wait to be sent to {self._clients.servers}; send "
                "more once Kafka has confirmed some"
            ) from None
        except KafkaException as error:
            what = f"a record for {topic} was refused"
            raise self._clients.explained(error.args[0], what) from error

    def close(self) -> None:
        """Wait for the confirmations that are due, and end."""
        self._producer.flush(FLUSH_SECONDS)
        self._closing.set()
        self._thread.join()

    def _report(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(POLL_SECONDS)
            except KafkaException:  # it sends nothing any more; its records' reports say why
                self._closing.wait(POLL_SECONDS)
            if self._clients.are_unauthenticated and not self._has_contact:
                self._producer.purge(in_flight=False)  # their senders hear why at the next poll
