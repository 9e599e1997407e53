"""What a gate found, and the snapshot that it judged."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Verdict = Literal["pass", "fail", "inconclusive", "error"]


class ItemsRead(Struct, frozen=True, omit_defaults=True):
    """What a version took from the items topic: its records below the offset ``end``.

    ``records`` items of the version have a record, ``titled`` of them a title, ``labelled`` a
    label; ``mistyped`` items have a record under the other JSON type only (42 for "42"), which
    does not count; ``unusable`` counts the records of the topic that are not items, by reason.
    """

    topic: str
    end: Count
    records: Count
    titled: Count
    labelled: Count
    mistyped: Count = 0
    unusable: dict[str, Count] = {}


class DataSnapshot(Struct, frozen=True, omit_defaults=True):
    """The interactions that a version learned from: ``[start, end)`` offsets by partition.

    ``lost`` are the spans within them that were gone from Kafka before any snapshot held them;
    ``unusable`` counts the records within them that could not be used, by reason. ``catalogue`` is
    what titles and labels came from; absent if there is no items topic.
    """

    id: str
    topic: str
    partitions: dict[str, tuple[Count, Count]]
    interactions: Count
    users: Count
    items: Count
    lost: dict[str, tuple[tuple[Count, Count], ...]] = {}
    unusable: dict[str, Count] = {}
    catalogue: ItemsRead | None = None

    @property
    def unusable_words(self) -> str:
        """Say how many records could not be used, and why, the most frequent reason first; or "".

        >>> DataSnapshot("s", "t", {}, 9, 3, 3, unusable={"empty": 1, "no_weight": 20}
        ... ).unusable_words
        '21 records could not be used: 20 no_weight, 1 empty'
        """
        if not self.unusable:
            return ""
        ordered = sorted(self.unusable.items(), key=lambda counted: (-counted[1], counted[0]))
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in ordered)
        return f"{sum(self.unusable.values()):,} records could not be used: {reasons}"


class Check(Struct, frozen=True):
    """One check of the gate: what was seen, what is allowed, and the verdict."""

    name: str
    verdict: Verdict
    seen: str
    allowed: str


class Gate(Struct, frozen=True):
    """The offline verdict before publication."""

    passed: bool
    checks: tuple[Check, ...]
