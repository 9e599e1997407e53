"""The sight of a batch: what is fresh of each user for each version, all at one moment.

Pure. Both arms of a comparison, and the shadow of an answer later on, look through the same sight:
what one of them sees, the other does too. Must not know who reads the interactions, or when.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from registry.fresh.frozen_log import FrozenLog
from registry.fresh.version_window import FreshUser, ItemTranslation, VersionWindow
from registry.ids import ItemId, UserId
from registry.wire.responses import FreshState
from registry.wire.training_records.event_weights import EventWeights, undo_targets

if TYPE_CHECKING:
    from registry.new_items.overlay import Overlay

ITEMS: Final = 200
"""Events of a user that count for his vector, unless a setting says otherwise."""


FOLD_IN_LEAST: Final = 3
"""Weighted items of a new user, unless a setting says otherwise."""


NEW_ITEMS: Final = 3
"""New items of a list at most, unless a setting says otherwise."""


class FreshRange(NamedTuple):
    """What is fresh for one version.

    Parameters
    ----------
    ends
        By partition of the interaction topic: the end of the version's snapshot.
    kinds
        Kinds of events that it counts, those that take others back among them.
    translation
        Of items to its rows.
    undoes
        By kind of undo, the kind that it takes back.
    """

    ends: Mapping[int, int]
    kinds: Container[str]
    translation: ItemTranslation
    undoes: Mapping[str, str] = {}

    @classmethod
    def of(
        cls,
        snapshot: Mapping[str, tuple[int, int]],
        weights: EventWeights,
        row_of: Callable[[ItemId], int | None],
    ) -> FreshRange:
        """Return that of a version, from the snapshot and weights in its manifest."""
        ends = {int(partition): end for partition, (_, end) in snapshot.items()}
        return cls(ends, frozenset(weights), ItemTranslation(row_of), undo_targets(weights))


class FreshSight:
    """What one batch sees.

    Parameters
    ----------
    log
        The log at that moment.
    ranges
        By version. A version that is not there has nothing fresh.
    meeting
        By partition of the request topic: the partitions of the interaction topic in which events
        of its users may be.
    lagging
        By version: partitions of which not all has been read that was there when it was asked for.
    gaps
        By version: partitions of which a part is gone from Kafka.
    most
        Events of a user that count for his vector.
    fold_in_least
        Weighted items that a user needs whom a version does not know.
    overlays
        By version: the new items that join its lists.
    most_new
        New items of a list at most.
    """

    def __init__(
        self,
        log: FrozenLog,
        ranges: Mapping[str, FreshRange],
        meeting: Mapping[int, tuple[int, ...]],
        lagging: Mapping[str, Container[int]] | None = None,
        gaps: Mapping[str, Container[int]] | None = None,
        most: int = ITEMS,
        fold_in_least: int = FOLD_IN_LEAST,
        overlays: Mapping[str, Overlay] | None = None,
        most_new: int = NEW_ITEMS,
    ) -> None:
        self.overlays = overlays or {}
        self.most_new = most_new
        self.fold_in_least = fold_in_least
        self.log = log
        self.ranges = ranges
        self._meeting = meeting
        self._lagging = lagging or {}
        self._gaps = gaps or {}
        self._most = most
        self._windows: dict[str, VersionWindow] = {}
        self._offsets: dict[int, dict[str, int]] = {}
        self._states: dict[tuple[str, int], FreshState] = {}

    def window(self, version: str) -> VersionWindow | None:
        """Return what is fresh for a version; None: it is not known where its snapshot ends."""
        found = self._windows.get(version)
        if found is None and (fresh := self.ranges.get(version)) is not None:
            found = self._windows[version] = VersionWindow(
                self.log, fresh.ends, fresh.kinds, fresh.translation, self._most, fresh.undoes
            )
        return found

    def users(self, version: str, user_ids: Iterable[UserId]) -> list[FreshUser | None]:
        """Return what is fresh of each user for a version; empty if nothing is known of any."""
        window = self.window(version)
        return [] if window is None else list(map(window.user, user_ids))

    def offsets(self, partition: int) -> dict[str, int]:
        """Return how far was read what a request of this partition is answered with.

        Interactions before these offsets were seen, by partition of the interaction topic.
        """
        found = self._offsets.get(partition)
        if found is None:
            ends = self.log.ends
            found = self._offsets[partition] = {
                str(number): ends[number]
                for number in self._meeting.get(partition, ())
                if number in ends
            }
        return found

    def beginnings(self, partition: int) -> dict[str, int]:
        """Return from where on was read what a request of this partition is answered with.

        Interactions before these offsets were not seen, though they are fresh for a version, by
        partition of the interaction topic; empty as soon as all has been read, if all is there.
        """
        found = {}
        for number in self._meeting.get(partition, ()):
            start = self.log.starts.get(number, 0)
            if any(start > fresh.ends.get(number, 0) for fresh in self.ranges.values()):
                found[str(number)] = start
        return found

    def fresh_state(self, version: str, partition: int) -> FreshState:
        """Return how much of what is fresh for a version a request of this partition sees."""
        found = self._states.get((version, partition))
        if found is None:
            found = self._states[version, partition] = self._find_fresh_state(version, partition)
        return found

    def holds_all(self, version: str, partition: int) -> bool:
        """Tell whether all events of a partition that are fresh for a version are here."""
        return self._is_read(version, partition) and not self._has_gap(version, partition)

    def has_lost(self, version: str, partition: int) -> bool:
        """Tell whether a partition is read as far as it goes, and misses events of a version."""
        return self._is_read(version, partition) and self._has_gap(version, partition)

    def _is_read(self, version: str, partition: int) -> bool:
        return (
            version in self.ranges
            and partition in self.log.ends
            and partition not in self._lagging.get(version, ())
        )

    def _has_gap(self, version: str, partition: int) -> bool:
        return partition in self._gaps.get(version, ())

    def _find_fresh_state(self, version: str, partition: int) -> FreshState:
        """Tell; it is unknown on a worker that does not follow what the partition's users do."""
        meeting = self._meeting.get(partition)
        if version not in self.ranges or meeting is None:
            return "unknown"
        lagging, gaps = self._lagging.get(version, ()), self._gaps.get(version, ())
        if any(number in lagging or number not in self.log.ends for number in meeting):
            return "catching_up"
        return "incomplete" if any(number in gaps for number in meeting) else "followed"
