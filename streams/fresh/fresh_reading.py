"""The reading of the interaction topic: how far it is, and for which version that is too little.

What is gone from Kafka: `streams.fresh.fresh_gaps`. Pure: values and rules. The thread
replaces the reading whole; the loop asks it. Must not know Kafka's client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from registry.fresh.event_log import EventLog
from registry.fresh.frozen_log import FrozenLog
from streams.fresh.fresh_gaps import Gap, needed_from


class Reading(NamedTuple):
    """What has been read.

    Parameters
    ----------
    wanted
        The starts that are being followed, as they were asked for.
    log
        The events.
    targets
        By partition: where it ended when it was begun.
    gaps
        By partition, where there is one.
    high
        By partition: where it ends, as was heard last.
    earlier
        How many offsets before what is shown wait to be read.
    """

    wanted: Mapping[int, int]
    log: FrozenLog
    targets: Mapping[int, int] = {}
    gaps: Mapping[int, Gap] = {}
    high: Mapping[int, int] = {}
    earlier: int = 0

    @property
    def behind(self) -> int:
        """How many offsets wait to be read."""
        ends = self.log.ends
        newer = sum(max(0, high - ends.get(number, high)) for number, high in self.high.items())
        return newer + self.earlier

    @property
    def position(self) -> int:
        """A number that grows with whatever is read."""
        return sum(self.log.ends.values()) - self.earlier


class FreshStatus(Struct, frozen=True):
    """What a worker follows of the interactions.

    Parameters
    ----------
    mode
        ``partition``, ``all`` or ``off``.
    partitions
        Those of the interaction topic that it follows.
    behind
        Interactions that wait to be read.
    interactions, users, size_bytes
        What it holds.
    packed_users
        Of how many of them, for want of memory, no more than what they have seen.
    partitioners
        By which partitioner requests and interactions came, a sentence each.
    new_items
        By version: how many items that it does not know join its lists.
    """

    mode: str
    partitions: tuple[int, ...] = ()
    behind: int = 0
    interactions: int = 0
    users: int = 0
    size_bytes: int = 0
    packed_users: int = 0
    partitioners: tuple[str, ...] = ()
    new_items: dict[str, int] = {}


NOTHING_READ = Reading({}, EventLog().frozen)


def lagging_of(reading: Reading, ends: Mapping[int, int], followed: Mapping[int, int]) -> set[int]:
    """Return the partitions of which not all has been read that a version needs.

    Parameters
    ----------
    reading
        What has been read.
    ends
        Where the version's snapshot ends, by partition.
    followed
        What is to be followed, by partition.
    """
    log = reading.log
    return {
        number
        for number in followed
        if number not in log.ends
        or log.ends[number] < reading.targets.get(number, 0)
        or needed_from(reading.gaps.get(number), ends.get(number, 0)) < log.starts[number]
    }
