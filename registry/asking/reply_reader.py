"""Reads the answers to a program's requests: all partitions of the response topic, from now on.

An edge: one consumer, which joins no group and commits nothing, and its thread. Reading starts
where the partitions end at the first request; partitions that the topic gets later are read from
their beginning. Must not know which answer belongs to which request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition

from registry.asking.librdkafka_clients import LASTING, ClientFactory
from registry.errors import AccessRefused, ClientClosed, ConfigurationError, TransportError
from registry.partition_offsets import ends_now
from registry.read_stall import ReadStall

POLL_SECONDS: Final = 0.1
"""How long the thread waits for an answer, which wakes it; ending takes as long at most."""

SILENT: Final = "Kafka does not answer"

CONTACT_SECONDS: Final = 1.0
"""How long one question to Kafka may take. Then it is asked again, up to the deadline."""


class ReplyReader:
    """Hands over the answers, in a thread that runs until :meth:`close`.

    Parameters
    ----------
    clients
        Makes the consumer.
    topic
        The response topic.
    seconds
        How long the first contact may take.
    answer
        Called with the value of each record.
    fail
        Called when the topic cannot be read, and waiting does not help.
    is_given_up
        Tells during the first contact whether nobody waits for it any more.

    Raises
    ------
    TransportError
        If Kafka does not answer in time, refuses, or has no such topic.
    ClientClosed
        If the first contact was given up.
    """

    def __init__(
        self,
        clients: ClientFactory,
        topic: str,
        seconds: float,
        answer: Callable[[bytes | None], None],
        fail: Callable[[TransportError], None],
        is_given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clients = clients
        self._topic = topic
        self._answer = answer
        self._fail = fail
        self._positions: dict[int, int] = {}
        self._outgrown = threading.Event()
        self._is_given_up = is_given_up
        self._closing = threading.Event()
        self._consumer = clients.consumer()
        try:
            self._consumer.assign(self._ends(time.monotonic() + seconds))
        except BaseException:
            self._consumer.close()
            raise
        self._thread = threading.Thread(target=self._read, name="recstream-reader", daemon=True)
        self._thread.start()

    def expect(self, partition: int) -> None:
        """Read `partition` as well, if it is new: a request went to that number."""
        if partition not in self._positions:
            self._outgrown.set()

    def close(self) -> None:
        """End the thread and the consumer."""
        self._closing.set()
        self._thread.join()
        self._consumer.close()

    def _read(self) -> None:
        is_first = True
        while not self._closing.is_set():
            try:
                if not is_first:
                    self._connect_again()
                is_first = False
                self._read_on()
            except KafkaException as error:  # requests wait on: nothing that came is passed over
                self._note_refusal(error.args[0])
                self._closing.wait(CONTACT_SECONDS)
            except ConfigurationError:  # no client could be made: no file handles, or no threads
                self._closing.wait(CONTACT_SECONDS)

    def _read_on(self) -> None:
        """Read until the end of this reader.

        Raises
        ------
        KafkaException
            If the client refuses its settings.
        """
        stall = ReadStall(time.monotonic())
        asked_at = float("-inf")
        while not self._closing.is_set():
            now = time.monotonic()
            if self._outgrown.is_set() and now - asked_at >= CONTACT_SECONDS:
                asked_at = now  # an answer topic with fewer partitions never gets them
                self._adopt_partitions()
            if stall.is_due(now) and self._has_stalled(stall, now):
                self._connect_again()
            message = self._consumer.poll(POLL_SECONDS)
            if message is None:
                continue
            error = message.error()
            if error is None:
                self._note_position(message)
                self._clients.note_contact()
                self._answer(message.value())
            else:
                self._note_refusal(error)

    def _note_refusal(self, error: KafkaError) -> None:
        if error.code() in LASTING:  # others are outages, which pass
            self._fail(self._clients.explained(error, f"{self._topic} cannot be read"))

    def _note_position(self, message: Message) -> None:
        number, offset = message.partition(), message.offset()
        assert number is not None  # only a message that was never sent has none
        assert offset is not None
        self._positions[number] = offset + 1

    def _has_stalled(self, stall: ReadStall, now: float) -> bool:
        try:
            ends = ends_now(self._consumer, self._topic, self._positions, CONTACT_SECONDS)
        except KafkaException:  # an outage, which passes
            ends = {}
        return stall.look(now, self._positions, ends)

    def _connect_again(self) -> None:
        """Read on from where reading had come, by a consumer that does."""
        stalled, self._consumer = self._consumer, self._clients.consumer()
        stalled.close()
        self._consumer.assign(self._places())

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, *place) for place in sorted(self._positions.items())]

    def _adopt_partitions(self) -> None:
        try:
            numbers = self._partitions(CONTACT_SECONDS)
        except (KafkaException, TransportError):
            return  # asked again
        new = sorted(numbers - self._positions.keys())
        if new:
            self._consumer.incremental_assign(
                [TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in new]
            )
            self._positions |= dict.fromkeys(new, 0)
            self._outgrown.clear()

    def _ends(self, deadline: float) -> list[TopicPartition]:
        """Return where each partition ends now."""
        while True:
            try:
                return self._ends_now(max(0.1, min(CONTACT_SECONDS, deadline - time.monotonic())))
            except KafkaException as error:
                if self._is_given_up():
                    raise ClientClosed("the client was closed while it connected") from error
                self._consumer.poll(0)  # hears that authentication failed
                problem: KafkaError = error.args[0]
                what = f"{self._topic} cannot be read" if problem.code() in LASTING else SILENT
                explained = self._clients.explained(problem, what)
                if isinstance(explained, AccessRefused) or time.monotonic() > deadline:
                    raise explained from error

    def _ends_now(self, seconds: float) -> list[TopicPartition]:
        self._positions = ends_now(self._consumer, self._topic, self._partitions(seconds), seconds)
        return self._places()

    def _partitions(self, seconds: float) -> frozenset[int]:
        found = self._consumer.list_topics(self._topic, timeout=seconds).topics[self._topic]
        if found.error is None:
            return frozenset(found.partitions)
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TransportError(
                f"topic {self._topic} not found on {self._clients.servers}: is topic_prefix right, "
                "and has `recstream topics create` been run?"
            )
        raise KafkaException(found.error)
