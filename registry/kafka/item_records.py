"""The items topic, read once from its beginning to the end that it has now.

An edge: knows where the topic is, and keeps each item's newest record as its bytes, which take less
memory than what they say. Must not know what becomes of titles and labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from registry.catalogue.item_changes import change_of
from registry.connection.reachability import metadata_of, unreachable
from registry.errors import AccessRefused, RecordError
from registry.ids import ItemId
from registry.kafka.topic_reader import BROKER_SECONDS, connected, messages, only_partition
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import decode, encode
from registry.wire.training_records.catalogue_items import CatalogueItem

READ_SECONDS: Final = 300.0
"""How long reading may take: tens of millions of records."""

REPORT_RECORDS: Final = 10_000


@dataclass(slots=True)
class ItemRecords:
    """What the items topic says up to ``end``, the offset after its last record.

    ``absent`` says why nothing was read, if the topic is missing or may not be read; ``refused``
    counts records that are not items, by their codes.
    """

    topic: str
    end: int = 0
    absent: str | None = None
    refused: Counter[str] = field(default_factory=Counter)
    _newest: dict[ItemId, bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._newest)

    def get(self, item_id: ItemId) -> CatalogueItem | None:
        """Return the item's newest record; None if there is none."""
        value = self._newest.get(item_id)
        return None if value is None else decode(CatalogueItem, value)

    def note(self, key: bytes | None, value: bytes | None) -> None:
        """Take one more record."""
        try:
            item_id, item = change_of(key, value)
        except RecordError as error:
            self.refused[error.code] += 1
            return
        if item is None:
            self._newest.pop(item_id, None)
        else:
            self._newest[item_id] = encode(item)


def read_item_records(
    settings: Settings, advance: Callable[[int, int], None] = lambda _done, _all: None
) -> ItemRecords:
    """Read the items topic up to its present end.

    A deployment without the topic, or a user who may not read it, has no items: ``absent`` says so.

    Parameters
    ----------
    settings
        Where Kafka is.
    advance
        Called now and then with the offsets passed and the offsets there are.

    Raises
    ------
    TransportError
        If Kafka does not answer, or not in time.
    """
    topic = topics_of(settings).items
    records = ItemRecords(topic.name)
    with connected(settings) as consumer:
        # not by its name: an embedded broker would make it
        if topic.name not in metadata_of(consumer, settings, seconds=BROKER_SECONDS).topics:
            records.absent = f"topic {topic.name} was not found; `recstream topics create` makes it"
            return records
        try:
            partition, low, high = only_partition(settings, consumer, topic)
            records.end = high
            if low < high:
                consumer.assign([TopicPartition(topic.name, partition.partition, low)])
                _read(consumer, records, low, high, advance)
        except AccessRefused as error:
            return ItemRecords(topic.name, absent=str(error))
        except KafkaException as error:
            raise unreachable(settings, error) from error
    return records


def _read(
    consumer: Consumer,
    records: ItemRecords,
    low: int,
    high: int,
    advance: Callable[[int, int], None],
) -> None:
    """Read up to where a fetch finds the end; an embedded broker says that it is before."""
    for number, message in enumerate(messages(consumer, READ_SECONDS, to_end=True)):
        offset = message.offset() or 0
        records.note(message.key(), message.value())
        records.end = max(records.end, offset + 1)
        if number % REPORT_RECORDS == 0:
            advance(offset - low, high - low)
