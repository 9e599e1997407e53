"""The reading of the new-items topic: vectors by version and item, and the overlays made of them.

No Kafka: keys, values and offsets in. Must not know what a share adds up to, or who sends what.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from registry.ids import ItemId
from registry.new_items.new_item_records import (
    NewItemKey,
    decode_key,
    decode_record,
    vector_of_record,
)
from registry.new_items.overlay import Overlay, PlacedVector
from registry.versions.model import Model
from streams.new_items.overlay_solving import OverlaySolving


class TopicReading:
    """What has been read of the topic since its beginning.

    Parameters
    ----------
    solving
        Takes the shares, if this worker is the owner.
    """

    def __init__(self, solving: OverlaySolving | None) -> None:
        self.solving = solving
        self.placed: defaultdict[str, dict[ItemId, PlacedVector]] = defaultdict(dict)
        self._changed: set[str] = set()
        self._made: dict[str, Overlay | None] = {}

    def take(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """Take in a record.

        Raises
        ------
        RecordError
            If it cannot be read.
        """
        if value is None:
            self._drop(decode_key(key))
            return
        record = decode_record(value)
        if record.solved is not None:
            users, vector = vector_of_record(record.solved)
            placed = PlacedVector(users, vector, offset)
            self.placed[record.version][record.solved.item_id] = placed
            self._changed.add(record.version)
        elif self.solving is not None:
            self.solving.book.take(record)

    def overlays(self, models: Mapping[str, Model]) -> dict[str, Overlay]:
        """Return the overlay of each version in memory that has one."""
        self._made = {
            version: self._made[version]
            if version in self._made and version not in self._changed
            else self._overlay_of(version, model)
            for version, model in models.items()
        }
        self._changed -= models.keys()
        return {version: made for version, made in self._made.items() if made is not None}

    def _overlay_of(self, version: str, model: Model) -> Overlay | None:
        factors = model.known_users.factors.shape[1]
        vectors = {
            item: placed
            for item, placed in self.placed.get(version, {}).items()
            if len(placed.vector) == factors and model.row_of(item) is None
        }
        return Overlay(vectors) if vectors else None

    def _drop(self, key: NewItemKey) -> None:
        if key.kind != "solved":
            if self.solving is not None:
                self.solving.book.drop(key)
        elif key.item_id is not None:
            self.placed[key.version].pop(key.item_id, None)
            self._changed.add(key.version)
            if not self.placed[key.version]:
                del self.placed[key.version]
