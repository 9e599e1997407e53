"""The partitioner watch: whether a user's requests and interactions come to one worker.

Looks at the keys of a few records of each batch. What they say is `registry.kafka.partitioners`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import Message

from registry.error_codes import NoticeCode
from registry.kafka.partitioners import PartitionerSeen, PartitionerTally, disagreement
from registry.kafka.topics import Topics
from registry.settings import Settings
from streams.raw_record import RawRecord
from streams.watch.notices import Notice

SAMPLED: Final = 10
"""Records of a batch that are examined: a microsecond and a half each."""


class PartitionerWatch:
    """Tallies both topics of one worker.

    Parameters
    ----------
    settings
        Whether it matters where interactions are.
    topics
        Their names.
    counts
        Returns how many partitions requests and interactions have; 0 while that is not known.
    """

    def __init__(
        self, settings: Settings, topics: Topics, counts: Callable[[], tuple[int, int]]
    ) -> None:
        self._fresh, self._outcomes = settings.fresh, settings.outcomes
        self._counts = counts
        self._requests = PartitionerTally(topics.requests.name)
        self._interactions = PartitionerTally(topics.interactions.name)

    def note_requests(self, records: Sequence[RawRecord]) -> None:
        """Look at some requests."""
        count = self._counts()[0]
        for record in _some(records):
            self._requests.note(record.key, record.partition, count)

    def note_interactions(self, messages: Sequence[Message]) -> None:
        """Look at some interactions; called in the thread that reads them."""
        count = self._counts()[1]
        for message in _some(messages):
            key, number = message.key(), message.partition()
            if number is not None:
                self._interactions.note(key if isinstance(key, bytes) else None, number, count)

    def seen(self) -> tuple[PartitionerSeen, PartitionerSeen]:
        """Return what is known of both topics."""
        return self._requests.seen(), self._interactions.seen()

    def notice(self) -> Notice | None:
        """Return that the two do not agree; None if they do, or it does not matter."""
        wrong = disagreement(*self.seen(), fresh=self._fresh, outcomes=self._outcomes)
        return None if wrong is None else Notice(NoticeCode.PARTITIONERS_DIFFER, wrong)


def _some(records: Sequence[Any]) -> Sequence[Any]:
    return records[:: max(1, len(records) // SAMPLED)]
