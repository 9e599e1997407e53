"""The assignor speaks Faust's protocol: whoever leads the group, all of its members understand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import faust
from faust.assignor.partition_assignor import PartitionAssignor
from harness.cells import each_cell

from streams.kafka.assignor import BalancedAssignor
from streams.kafka.faust_workarounds import ROLLOUT_TABLE_OPTIONS, FolderlessApp

REQUESTS, CONTROL, FLEET = "reco.requests", "reco.control", "reco.fleet"
COUNTS = {REQUESTS: 4, CONTROL: 1, FLEET: 1}


class Topics:
    """What an assignor asks of aiokafka's picture of the cluster."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._counts[topic])) if topic in self._counts else None


class Member:
    """One worker's side: its app, what it subscribes to, and what it was given last."""

    def __init__(self, kind: type[PartitionAssignor], topics: Iterable[str] = COUNTS) -> None:
        self.app: faust.App = FolderlessApp(
            "reco-production", broker="kafka://", store="memory://", autodiscover=False
        )
        table = self.app.GlobalTable("rollout", **ROLLOUT_TABLE_OPTIONS)
        self.changelog = table.changelog_topic.get_topic_name()
        self.topics = {*topics, self.changelog}
        self.assignor = kind(self.app, replicas=self.app.conf.table_standby_replicas)

    def has(self, topic: str) -> list[int]:
        return sorted(tp.partition for tp in self.assignor.assigned_actives() if tp.topic == topic)


def rebalance(
    leader: Member, members: Mapping[str, Member], counts: Mapping[str, int] = COUNTS
) -> None:
    metadata = {name: member.assignor.metadata(member.topics) for name, member in members.items()}
    topics = Topics({**counts, leader.changelog: 1})
    for name, assignment in leader.assignor.assign(topics, metadata).items():
        members[name].assignor.on_assignment(assignment)  # checks what it was sent


def of(topic: str, members: Mapping[str, Member]) -> list[int]:
    return [number for member in members.values() for number in member.has(topic)]


def test_it_has_the_name_and_version_of_fausts_own() -> None:
    ours, stock = Member(BalancedAssignor).assignor, Member(PartitionAssignor).assignor
    assert (ours.name, ours.version) == (stock.name, stock.version)


@each_cell("follower", [BalancedAssignor, PartitionAssignor])
def test_a_third_member_gets_its_share_whatever_release_it_and_the_others_are(
    follower: type[PartitionAssignor],
) -> None:
    leader = Member(BalancedAssignor)
    members = {"a": leader, "b": Member(follower)}
    rebalance(leader, members)
    held = {name: set(member.has(REQUESTS)) for name, member in members.items()}
    members["c"] = Member(follower)
    rebalance(leader, members)
    assert sorted(len(member.has(REQUESTS)) for member in members.values()) == [1, 1, 2]
    assert sorted(of(REQUESTS, members)) == [0, 1, 2, 3]
    assert all(set(members[name].has(REQUESTS)) <= held[name] for name in held)


def test_under_fausts_own_a_third_member_gets_nothing() -> None:
    members = {name: Member(PartitionAssignor) for name in "ab"}
    rebalance(members["a"], members)
    members["c"] = Member(BalancedAssignor)
    rebalance(members["a"], members)
    assert members["c"].has(REQUESTS) == []


def test_a_member_of_this_release_follows_a_leader_of_the_previous_one_and_leads_after_it() -> None:
    members = {"a": Member(PartitionAssignor), "b": Member(BalancedAssignor)}
    rebalance(members["a"], members)
    assert sorted(of(REQUESTS, members)) == [0, 1, 2, 3]
    rebalance(members["b"], {"b": members["b"]})
    assert members["b"].has(REQUESTS) == [0, 1, 2, 3]


def test_the_control_partition_has_one_owner_and_stays_where_it_is() -> None:
    first = Member(BalancedAssignor)
    members = {"z": first}
    rebalance(first, members)
    for name in "abc":
        members[name] = Member(BalancedAssignor)
        rebalance(members[name], members)
        assert first.has(CONTROL) == first.has(FLEET) == [0]
        assert of(CONTROL, members) == [0]


def test_every_member_reads_the_whole_changelog() -> None:
    members = {name: Member(BalancedAssignor) for name in "abc"}
    rebalance(members["a"], members)
    assert [member.has(member.changelog) for member in members.values()] == [[0], [0], [0]]


def test_topics_of_one_partition_count_are_dealt_out_together() -> None:
    counts = {REQUESTS: 4, "reco.interactions": 4, CONTROL: 1}
    members = {name: Member(BalancedAssignor, counts) for name in "abc"}
    rebalance(members["b"], members, counts)
    for member in members.values():
        assert member.has(REQUESTS) == member.has("reco.interactions")


def test_a_topic_that_only_some_read_is_dealt_out_among_them() -> None:
    members = {"a": Member(BalancedAssignor, [REQUESTS, CONTROL]), "b": Member(BalancedAssignor)}
    rebalance(members["a"], members)
    assert (members["a"].has(FLEET), members["b"].has(FLEET)) == ([], [0])
    assert len(members["a"].has(REQUESTS)) == len(members["b"].has(REQUESTS)) == 2


def test_a_topic_that_is_not_there_yet_is_left_out() -> None:
    members = {"a": Member(BalancedAssignor, [REQUESTS, "reco.new"])}
    rebalance(members["a"], members)
    assert members["a"].has(REQUESTS) == [0, 1, 2, 3]
