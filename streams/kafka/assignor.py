"""Which worker reads which partitions, decided by the leader of the group.

Behaviour of Faust 0.15.3 that this works around: with standby replicas, its assignor lets each
worker keep up to the ceiling of an even share, so a joining worker may get nothing, for good. Here
the shares of `streams.kafka.partition_shares` are assigned under Faust's own protocol name, version
and metadata, so workers of this and of the previous release can join one group, whichever leads it.

Topics with the same number of partitions and the same subscribers are assigned together: the same
partition number of all of them goes to one worker. Topics with one partition (the control topic) go
last, to the worker with the fewest partitions, and stay there. Every worker has the changelogs of
global tables, so they say nothing about who held a partition, and are not assigned: Faust assigns
them with the control topic, whose partition then moves at every join.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from faust.assignor.client_assignment import ClientAssignment, CopartitionedAssignment
from faust.assignor.partition_assignor import PartitionAssignor

from streams.kafka.partition_shares import share_partitions


class BalancedAssignor(PartitionAssignor):
    """Faust's assignor, which deals out even shares."""

    def _perform_assignment(self, cluster: Any, member_metadata: Mapping[str, Any]) -> Any:
        clients = {
            member: self._get_client_metadata(metadata)
            for member, metadata in member_metadata.items()
        }
        self._update_member_urls(clients)
        subscribers = _subscribers_by_topic(member_metadata)
        counts = {
            topic: len(cluster.partitions_for_topic(topic) or ()) for topic in sorted(subscribers)
        }
        everybodys = {
            table.changelog_topic.get_topic_name()
            for table in self._table_manager.values()
            if table.is_global
        }
        present = [topic for topic in counts if counts[topic] > 0 and topic not in everybodys]
        assignments = {member: ClientAssignment(actives={}, standbys={}) for member in clients}
        load: Counter[str] = Counter()
        groups = _together(present, counts, subscribers)
        for topics in groups:
            held = {
                member: _held(clients[member].assignment, topics)
                for member in subscribers[topics[0]]
            }
            for member, share in share_partitions(counts[topics[0]], held, load).items():
                assignments[member].add_copartitioned_assignment(
                    CopartitionedAssignment(actives=share, topics=set(topics))
                )
                load[member] += len(share)
        self._global_table_standby_assignments(assignments, counts)
        return self._protocol_assignments(
            assignments,
            self._get_changelog_distribution(assignments),
            self._get_external_topic_distribution(assignments),
            {
                topic: number
                for number, topics in enumerate([*groups, sorted(everybodys)])
                for topic in topics
            },
        )


def _subscribers_by_topic(member_metadata: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    topics = {topic for metadata in member_metadata.values() for topic in metadata.subscription}
    return {
        topic: frozenset(
            member for member, metadata in member_metadata.items() if topic in metadata.subscription
        )
        for topic in topics
    }


def _held(assignment: ClientAssignment, topics: Iterable[str]) -> set[int]:
    """Return the numbers that a member has, by the first of `topics` that it has anything of."""
    return next(
        (set(assignment.actives[topic]) for topic in topics if assignment.actives.get(topic)), set()
    )


def _together(
    topics: Iterable[str], counts: Mapping[str, int], subscribers: Mapping[str, frozenset[str]]
) -> list[list[str]]:
    """Return the topics that are dealt out together, those with the most partitions first."""
    groups: dict[tuple[int, frozenset[str]], list[str]] = {}
    for topic in topics:
        groups.setdefault((counts[topic], subscribers[topic]), []).append(topic)
    return sorted(groups.values(), key=lambda group: (-counts[group[0]], group))
