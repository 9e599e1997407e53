"""When a batch of outgoing records is confirmed: its delivery reports, counted round by round.

Knows how many reports of a round are missing, and how each record failed. Must not know how records
are sent, nor what happens to failed ones (`streams.delivery.producer`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, Message

from streams.delivery.kafka_errors import Meaning, read_broker_error
from streams.delivery.outgoing import Outgoing, Unconfirmed, refused_record


class Failure(NamedTuple):
    """How the record at ``place`` failed; ``meaning`` is what its error says of it."""

    place: int
    meaning: Meaning
    why: str


class DeliveryBatch:
    """Counts the delivery reports of one batch, round by round; resolves its future on the loop.

    In the first round all records are sent, in the next ones what `settle` sends again. It is
    called on the loop with what failed in a round, and ends the batch when nothing is to be sent.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        records: Iterable[Outgoing],
        settle: Callable[[DeliveryBatch, Sequence[Failure]], None],
        note_answer: Callable[[], None] = lambda: None,
    ) -> None:
        self._note_answer = note_answer
        self._loop = loop
        self._settle = settle
        self.records = list(records)
        self.unconfirmed: list[Failure] = []
        self.given_up: list[Failure] = []
        self.confirmed: asyncio.Future[None] = loop.create_future()
        self._sent = 0  # written by the sending thread only
        self._reported = 0  # written by one polling thread in each round
        self._sealed = False
        self._failed: list[Failure] = []

    @property
    def is_waiting(self) -> bool:
        """Whether the report of a queued record is missing."""
        return self._reported < self._sent

    def add(self) -> None:
        """Count a record that was queued."""
        self._sent += 1

    def note_failure(self, place: int, meaning: Meaning, why: str) -> None:
        """Note how the record at `place` failed in this round."""
        self._failed.append(Failure(place, meaning, why))

    def seal(self) -> None:
        """No more records will be added in this round; its last report resolves it."""
        self._sealed = True
        if self._reported == self._sent:  # or the last report came before
            self._loop.call_soon_threadsafe(self._resolve)

    def report(self, place: int, alone: bool, error: KafkaError | None, _message: Message) -> None:
        """Librdkafka's callback, in a polling thread."""
        meaning = None if error is None else read_broker_error(error.code(), alone=alone)
        if error is not None and meaning is not None:
            self.note_failure(place, meaning, error.str())
        self._reported += 1
        if meaning is None or meaning.kind != "unconfirmed":  # a refusal is an answer, too
            self._note_answer()
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
            records = [self.records[failure.place] for failure in self.unconfirmed]
            self.confirmed.set_exception(Unconfirmed(records, self.unconfirmed[0].why))
        elif self.given_up:
            topic, failed = self.records[self.given_up[0].place].topic, self.given_up[0]
            self.confirmed.set_exception(refused_record(topic, failed.meaning.cause, failed.why))
        else:
            self.confirmed.set_result(None)
