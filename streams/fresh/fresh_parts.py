"""The parts that follow the interactions, put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from registry.kafka.topics import Topics
from registry.settings import Settings
from streams.fresh.fresh_watch import FreshWatch
from streams.fresh.freshness import Freshness, Shares
from streams.fresh.interaction_follower import InteractionFollower
from streams.fresh.partitioner_watch import PartitionerWatch
from streams.metrics import Metrics


class FreshParts(NamedTuple):
    """What reads the interactions, decides what is read, looks at keys, and tells of all that."""

    interactions: InteractionFollower
    freshness: Freshness
    partitioners: PartitionerWatch
    watch: FreshWatch


def build_fresh(
    settings: Settings,
    topics: Topics,
    metrics: Metrics,
    served: Callable[[], Collection[int]],
    counts: Callable[[], tuple[int, int]],
) -> FreshParts:
    """Return the parts of one worker.

    Parameters
    ----------
    settings, topics, metrics
        The worker's.
    served
        Returns the numbers of the request partitions that it has; called on the event loop.
    counts
        Returns how many partitions requests and interactions have, 0 while that is not known;
        called in any thread.
    """

    def count_unusable(unusable: Counter[str]) -> None:
        for reason, count in unusable.items():
            metrics.fresh_unusable.labels(reason).inc(count)

    topic = topics.interactions
    partitioners = PartitionerWatch(settings, topics, counts)
    follower = InteractionFollower(settings, topic, partitioners.note_interactions, count_unusable)
    freshness = Freshness(settings, topic.name, follower, lambda: Shares(served(), *counts()))
    watch = FreshWatch(settings.fresh, topic.name, freshness, follower, partitioners)
    return FreshParts(follower, freshness, partitioners, watch)
