"""Earlier records: what a worker reads of partitions of which it has the newest already.

An edge: a client of its own, only while there is something to read, so that the newest records wait
for none of the earlier ones. Must not know what the records hold.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from registry.errors import TransportError
from registry.fresh.earlier_ranges import EarlierRange
from registry.kafka.topic_reader import connected
from registry.read_stall import ReadStall
from registry.settings import Settings
from streams.kafka.follower_threads import place_of


class EarlierRecords:
    """Reads earlier ranges, from where each is filled up to.

    Parameters
    ----------
    settings, config, topic
        Where they are, and what the client is told.
    """

    def __init__(self, settings: Settings, config: Mapping[str, str | int], topic: str) -> None:
        self._settings, self._config, self._topic = settings, config, topic
        self._at: dict[int, tuple[int, int]] = {}
        self._client = ExitStack()
        self._consumer: Consumer | None = None
        self._stall = ReadStall(time.monotonic())

    def __enter__(self) -> EarlierRecords:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def read(
        self, ranges: Mapping[int, EarlierRange], most: int, seconds: float
    ) -> tuple[Mapping[int, tuple[list[Message], int]], set[int]]:
        """Return what came of these ranges.

        Parameters
        ----------
        ranges
            What is to be read now.
        most, seconds
            Records to take at once, and for how long to wait for them.

        Returns
        -------
        By partition: records inside its range, and the offset up to which it is read; and the
        partitions whose records Kafka does not have any more.

        Raises
        ------
        KafkaException, TransportError
            If another client is needed.
        """
        consumer = self._assigned(ranges)
        found: dict[int, tuple[list[Message], int]] = {}
        lost = set()
        for message in consumer.consume(most, seconds):
            error = message.error()
            code = None if error is None else error.code()
            number = message.partition()
            part = None if number is None else ranges.get(number)
            if number is None or part is None:
                continue  # of before the last assignment
            if code in (None, KafkaError._PARTITION_EOF):
                records, end = found.setdefault(number, ([], part.filled))
                offset = place_of(message)[2]
                if code is None and offset < part.until:
                    records.append(message)
                    offset += 1
                found[number] = records, max(end, min(offset, part.until))
            elif code == KafkaError._AUTO_OFFSET_RESET:
                lost.add(number)
            elif error is not None and not error.retriable():
                raise KafkaException(error)
        self._at |= {number: (end, ranges[number].until) for number, (_, end) in found.items()}
        return found, lost

    def _assigned(self, ranges: Mapping[int, EarlierRange]) -> Consumer:
        """Return a client that reads these ranges; it goes on if they are filled as it has read."""
        now = time.monotonic()
        filled = {number: part.filled for number, part in ranges.items()}
        if self._consumer is None:
            connecting = connected(self._settings, self._config)
            self._consumer = self._client.enter_context(connecting)
            self._at, self._stall = {}, ReadStall(now)
        at = {number: (part.filled, part.until) for number, part in ranges.items()}
        if at != self._at:
            self._consumer.assign(
                [TopicPartition(self._topic, number, offset) for number, offset in filled.items()]
            )
        self._at = at
        if self._stall.is_due(now) and self._stall.look(
            now, filled, {number: part.until for number, part in ranges.items()}
        ):
            raise TransportError("the client fetches no more, though there are earlier records")
        return self._consumer

    def rest(self) -> None:
        """Let go of the client: there is nothing to be read now."""
        if self._consumer is not None:
            self._consumer = None
            self._client.close()
