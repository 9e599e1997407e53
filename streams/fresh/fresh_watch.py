"""The fresh watch: what a worker says of the interactions that it follows.

For its pages, metrics and heartbeat, and for the notice board. On the event loop.
"""

from __future__ import annotations

import time

from registry.kafka.partitioners import PartitionerSeen
from streams.fresh.fresh_gaps import gap_notice
from streams.fresh.fresh_notices import Standstill, stall_notice
from streams.fresh.fresh_reading import FreshStatus
from streams.fresh.freshness import Freshness
from streams.fresh.interaction_follower import InteractionFollower
from streams.fresh.partitioner_watch import PartitionerWatch
from streams.metrics import Metrics
from streams.watch.notices import Notice


class FreshWatch:
    """Looks at what one worker follows."""

    def __init__(
        self,
        mode: str,
        topic: str,
        freshness: Freshness,
        follower: InteractionFollower,
        partitioners: PartitionerWatch,
    ) -> None:
        self._mode = mode
        self._topic = topic
        self._freshness = freshness
        self._follower = follower
        self._partitioners = partitioners
        self._progress = Standstill()

    @property
    def behind(self) -> int | None:
        """How many interactions wait to be read; None where none are followed."""
        return None if self._mode == "off" else self._follower.reading.behind

    def status(self) -> FreshStatus:
        """Return what is known now."""
        if self._mode == "off":
            return FreshStatus(self._mode)
        follower, seen = self._follower, self._partitioners.seen()
        return FreshStatus(
            self._mode,
            tuple(self._freshness.following.starts),
            follower.reading.behind,
            follower.reading.log.count,
            follower.users,
            follower.size_bytes,
            follower.packed_users,
            tuple(str(topic) for topic in seen if topic.partitioner is not None),
            {version: len(new) for version, new in sorted(self._freshness.overlays.items())},
        )

    def notices(self) -> tuple[Notice, ...]:
        """Return what an operator should act on."""
        apart = self._partitioners.notice()
        if self._mode == "off":  # outcomes may be joined all the same
            return () if apart is None else (apart,)
        follower, freshness = self._follower, self._freshness
        reading, trouble = follower.reading, follower.trouble
        seconds = self._progress.stalled_seconds(reading, trouble, time.monotonic())
        ends = {version: freshness.ends(version) for version in freshness.versions}
        found = (
            stall_notice(self._topic, reading, trouble, seconds),
            gap_notice(self._topic, reading.gaps, ends, freshness.foreign),
            apart,
        )
        return tuple(notice for notice in found if notice is not None)

    def show(self, metrics: Metrics) -> None:
        """Bring the gauges up to date."""
        status = self.status()
        metrics.fresh_lag.set(status.behind)
        metrics.fresh_interactions.set(status.interactions)
        metrics.fresh_users.set(status.users)
        metrics.fresh_bytes.set(status.size_bytes)
        metrics.fresh_packed.set(status.packed_users)
        metrics.new_items.clear()
        for version, count in status.new_items.items():
            metrics.new_items.labels(version).set(count)
        metrics.partitioner_share.clear()
        for seen in self._partitioners.seen():
            _show_partitioner(metrics, seen)


def _show_partitioner(metrics: Metrics, seen: PartitionerSeen) -> None:
    if seen.partitioner is not None:
        metrics.partitioner_share.labels(seen.topic, seen.partitioner).set(seen.share)
