"""Freshness: what a worker follows for the versions and partitions that it has, and what it sees.

On the event loop. `refresh` is called whenever partitions or versions may have changed, and before
each batch. Must not know Kafka's client: `streams.fresh.interaction_follower` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from registry.fresh.followed_partitions import Following, plan_following
from registry.fresh.fresh_sight import FreshRange, FreshSight
from registry.new_items.overlay import Overlay
from registry.settings import Settings
from registry.versions.model import Model
from streams.fresh.fresh_gaps import gaps_of
from streams.fresh.fresh_reading import Reading, lagging_of
from streams.fresh.range_readiness import is_ready

NOT_FOLLOWED = Following({}, {})

COUNTS_SECONDS: Final = 5.0
"""How long answers wait at most for the numbers of partitions. Kafka says them within a tenth of a
second; a starved machine takes longer, and an answer without them knows nothing of its user."""


class Follows(Protocol):
    """Reads the interactions, from what is wanted on."""

    @property
    def reading(self) -> Reading:
        """What has been read."""

    def follow(self, starts: Mapping[int, int]) -> None:
        """Follow these partitions from these offsets on, and no others."""


class Shares(NamedTuple):
    """What a worker has of the topics.

    Parameters
    ----------
    served
        Partitions of the request topic that it has.
    requests, interactions
        How many partitions the topics have; 0 while that is not known.
    """

    served: Collection[int]
    requests: int
    interactions: int


class Freshness:
    """Decides what is followed, and gives each batch its sight.

    Parameters
    ----------
    settings
        Whether, and how long answers may wait.
    topic
        Name of the interaction topic.
    follower
        Reads it.
    shares
        Returns what this worker has of the topics.

    Attributes
    ----------
    overlays
        By version: the new items that join its lists. Replaced whole, in any thread.
    """

    def __init__(
        self, settings: Settings, topic: str, follower: Follows, shares: Callable[[], Shares]
    ) -> None:
        self._shares = shares
        self._mode = settings.fresh
        self._most = settings.fresh_items
        self._fold_in_least = settings.fold_in_least
        self._wait_seconds = settings.fresh_wait_seconds
        self._topic = topic
        self._follower = follower
        self._ranges: dict[str, FreshRange] = {}
        self._served: frozenset[int] = frozenset()
        self._counts = (0, 0)
        self._patient_until = 0.0
        self._ready_seconds = settings.fresh_ready_seconds
        self._waiting: dict[str, float] = {}
        self._answering = NOT_FOLLOWED
        self._most_new = settings.new_items_most
        self.overlays: Mapping[str, Overlay] = {}
        self.following = NOT_FOLLOWED
        self.foreign: tuple[str, ...] = ()

    def refresh(self, models: Mapping[str, Model], now: float) -> None:
        """Follow what is needed now.

        While this worker has no partition, as in the midst of a rebalance, it keeps those
        that it had.

        Parameters
        ----------
        models
            The versions in memory.
        now
            Seconds of a monotonic clock.
        """
        if self._mode == "off":
            return
        shares = self._shares()
        served = frozenset(shares.served) or self._served
        counts = shares.requests, shares.interactions
        if (served, counts) == (self._served, self._counts) and models.keys() == self._known():
            if self._waiting:
                self._admit(now)
            return
        if served - self._served or (all(counts) and not all(self._counts)):
            self._patient_until = now + self._wait_seconds
        self._served, self._counts = served, counts
        self._keep(models, now)
        if all(counts):
            self._plan()
        self._admit(now)

    def ready(self, models: Mapping[str, Model]) -> Mapping[str, Model]:
        """Return those of the versions in memory that may answer, as of the last refresh.

        A version that has answered goes on, whatever is read anew.
        """
        if not self._waiting:
            return models
        return {name: model for name, model in models.items() if name not in self._waiting}

    def is_waited_for(self, now: float) -> bool:
        """Tell whether answers wait for what is being read: for a moment, after a rebalance.

        That moment begins once it is known how many partitions there are, which a worker asks when
        it starts.
        """
        if self._served and self._ranges and not all(self._counts) and self._wait_seconds:
            return now < self._patient_until + COUNTS_SECONDS
        if now >= self._patient_until:
            return False
        if self._ranges and self._served and not self.following.starts:
            return True
        reading, starts = self._follower.reading, self.following.starts
        return any(lagging_of(reading, kept.ends, starts) for kept in self._ranges.values())

    def sight(self) -> FreshSight | None:
        """Return what the next batch sees; None where nobody looks."""
        if self._mode == "off":
            return None
        reading, starts = self._follower.reading, self._answering.starts
        ranges = self._ranges
        if self._waiting:
            ranges = {name: kept for name, kept in ranges.items() if name not in self._waiting}
        return FreshSight(
            reading.log,
            ranges,
            self._answering.meeting,
            {name: lagging_of(reading, kept.ends, starts) for name, kept in ranges.items()},
            {name: gaps_of(reading.gaps, kept.ends) for name, kept in ranges.items()}
            if reading.gaps
            else {},
            self._most,
            self._fold_in_least,
            self.overlays,
            self._most_new,
        )

    def own_partitions(self, sight: FreshSight, version: str) -> list[int]:
        """Return the partitions whose events this worker sums up for a version, of a sight of now.

        Each is one worker's, whatever others follow: that one's which has the partition of requests
        with its number. Partitions that are not read to where they ended, or have lost records that
        the version needs, are left out. May be called in any thread.
        """
        return [number for number in self._summed_up() if sight.holds_all(version, number)]

    def lost_partitions(self, sight: FreshSight, version: str) -> list[int]:
        """Return those of which it would, if records that the version needs were not lost."""
        return [number for number in self._summed_up() if sight.has_lost(version, number)]

    def ends(self, version: str) -> Mapping[int, int]:
        """Return where a version's snapshot ends, by partition; nothing for one without a range."""
        return self._ranges[version].ends if version in self._ranges else {}

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions whose fresh interactions are followed."""
        return tuple(self._ranges)

    def _summed_up(self) -> list[int]:
        requests = self._counts[0]
        return [
            number
            for number in sorted(self._answering.starts)
            if requests and number % requests in self._served
        ]

    def _known(self) -> set[str]:
        return {*self._ranges, *self.foreign}

    def _keep(self, models: Mapping[str, Model], now: float) -> None:
        """Keep the range of each version in memory, and drop the others; new ones wait."""
        own = {
            name: model
            for name, model in models.items()
            if model.manifest.data_snapshot.topic == self._topic
        }
        self._waiting = {
            name: self._waiting.get(name, now)
            for name in own
            if name in self._waiting or name not in self._ranges
        }
        self._ranges = {
            name: self._ranges.get(name)
            or FreshRange.of(
                model.manifest.data_snapshot.partitions,
                model.manifest.parameters.weights,
                model.row_of,
            )
            for name, model in own.items()
        }
        self.foreign = tuple(sorted(models.keys() - own.keys()))

    def _plan(self) -> None:
        planned = self._following_of(self._ranges.values())
        if planned.starts != self.following.starts:
            self._follower.follow(planned.starts)
        self.following = planned

    def _following_of(self, ranges: Iterable[FreshRange]) -> Following:
        ends = [kept.ends for kept in ranges]
        return plan_following(self._served, *self._counts, ends, everything=self._mode == "all")

    def _admit(self, now: float) -> None:
        """Let versions answer whose range is followed, and plan what is seen for all that may."""
        reading, ranges = self._follower.reading, self._ranges
        known = [kept for name, kept in ranges.items() if name not in self._waiting]
        seen = self._following_of(known) if all(self._counts) else NOT_FOLLOWED
        answering = [lagging_of(reading, kept.ends, seen.starts) for kept in known]
        self._waiting = {
            name: since
            for name, since in self._waiting.items()
            if not is_ready(
                lagging_of(reading, ranges[name].ends, self.following.starts),
                answering,
                now - since,
                self._ready_seconds,
            )
        }
        known = [kept for name, kept in ranges.items() if name not in self._waiting]
        self._answering = self._following_of(known) if all(self._counts) else NOT_FOLLOWED
