"""The topics: names, partition counts and configs; `topic_admin` creates and checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from registry.settings import Settings

HOUR_MS: Final = 3_600_000
LARGE_RECORD_BYTES: Final = 4 * 1024 * 1024
"""A dead letter is its source record plus headers, so it must fit where the source just fitted; an
answer of 1000 items with long titles is larger than Kafka's usual megabyte."""

MIN_INSYNC: Final = "min.insync.replicas"

SHARED_BY_ENVIRONMENTS: Final = frozenset({"control", "control-results"})
"""Topics that the environments of one rollout have in common, keyed by environment."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be, or as it is made: those by user may have grown since."""

    name: str
    partitions: int
    what: str
    configs: Mapping[str, str] = field(default_factory=dict)


MINUTE_MS: Final = 60_000

COMPACTED: Final = {
    "cleanup.policy": "compact",
    "segment.ms": str(MINUTE_MS),
    "segment.bytes": str(8 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": str(5 * MINUTE_MS),
    "delete.retention.ms": str(10 * MINUTE_MS),
}
"""A table's changelog keeps the latest value of each key, within minutes: who starts reads it all.
By Kafka's defaults, the newest 7 days, or 1 GiB, are not compacted."""


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one prefix."""

    requests: Topic
    responses: Topic
    interactions: Topic
    control: Topic
    control_results: Topic
    shadow: Topic
    dead_letter: Topic
    fleet: Topic
    items: Topic
    outcomes: Topic
    new_items: Topic

    def __iter__(self) -> Any:
        return iter(getattr(self, name) for name in self.__slots__)

    @property
    def optional(self) -> frozenset[str]:
        """Names of topics that a worker can do without: deployments of before have none."""
        return frozenset({self.items.name, self.outcomes.name, self.new_items.name})

    @property
    def by_user(self) -> tuple[Topic, ...]:
        """The topics that have as many partitions each, in the order in which they grow.

        An answer goes to the number of its request, and a user's records of all of them meet on one
        worker. Requests come last: once one can come by a new partition, its answer has one too.
        """
        return self.responses, self.shadow, self.outcomes, self.interactions, self.requests


def topics_of(settings: Settings) -> Topics:
    """Return the topics that `settings` name."""

    def topic(name: str, partitions: int, what: str, kept_hours: int | None, **more: str) -> Topic:
        kept = -1 if kept_hours is None else kept_hours * HOUR_MS
        configs = {"cleanup.policy": "delete", "retention.ms": str(kept), **more}
        shared = name in SHARED_BY_ENVIRONMENTS
        prefix = settings.control_prefix if shared else None
        return Topic(f"{prefix or settings.topic_prefix}.{name}", partitions, what, configs)

    by_user = settings.partitions
    stamped = {"message.timestamp.type": "LogAppendTime"}  # ramps go by one clock: the broker's
    large = {"max.message.bytes": str(LARGE_RECORD_BYTES)}
    return Topics(
        requests=topic("requests", by_user, "recommendation requests", 24),
        responses=topic("responses", by_user, "answers", 24, **large),
        interactions=topic("interactions", by_user, "what users did: the training set", None),
        control=topic("control", 1, "rollout commands, totally ordered", None, **stamped),
        control_results=topic(
            "control-results",
            1,
            "one result per command, and one per training without a version",
            None,
        ),
        shadow=topic("shadow", by_user, "shadow comparisons", 24),
        dead_letter=topic(
            "dead-letter",
            1,
            "records that could not be used, byte for byte",
            7 * 24,
            **large,
        ),
        fleet=topic("fleet", 1, "each worker's heartbeat", 1, **stamped),
        items=Topic(
            f"{settings.topic_prefix}.items",
            1,
            "titles, labels and availability of items: the newest record of each",
            COMPACTED | {"delete.retention.ms": str(24 * HOUR_MS)},
        ),
        outcomes=topic("outcomes", by_user, "what users did with answers, joined", 7 * 24),
        new_items=Topic(
            f"{settings.topic_prefix}.new-items",
            2,
            "vectors of items that a version does not know, and the sums that they are made of",
            COMPACTED,
        ),
    )


def least_in_sync(replication_factor: int) -> int:
    """Return the replicas that must have a record: all but one, so that one broker may be down."""
    return max(1, replication_factor - 1)


def changelog_name(settings: Settings) -> str:
    """Return the topic that keeps an environment's rollout table."""
    return f"{settings.topic_prefix}-{settings.environment}-rollout-changelog"


def changelog_of(settings: Settings) -> Topic:
    """Return the topic behind the rollout table; its name is Faust's."""
    return Topic(changelog_name(settings), 1, "the rollout table", COMPACTED)


def mismatches(topics: Topics, partitions: Mapping[str, int]) -> list[str]:
    """Return which topics have fewer partitions than those that they belong to, a sentence each.

    Parameters
    ----------
    topics
        All of one prefix.
    partitions
        How many each topic that exists has, by its name.
    """
    present = [topic for topic in topics.by_user if topic.name in partitions]
    most = max(present, key=lambda topic: partitions[topic.name], default=None)
    return [
        f"topic {topic.name} has {partitions[topic.name]} partitions and {most.name} "
        f"{partitions[most.name]}, but they belong together; `recstream topics grow "
        f"{partitions[most.name]}` makes them equal"
        for topic in present
        if most is not None and partitions[topic.name] < partitions[most.name]
    ]
