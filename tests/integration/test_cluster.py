"""The cluster of the outage tests: what happens to a broker is what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from harness.waiting import wait_until

from ops.local.kafka_cluster import Cluster, running_cluster


def make_topic(cluster: Cluster, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(name, 1, cluster.size)])[name].result()


@contextmanager
def taker(cluster: Cluster, topic: str) -> Iterator[Callable[[], bool]]:
    """Ask whether the cluster takes a record now."""
    errors: list[object] = []
    producer = Producer(
        {"bootstrap.servers": cluster.bootstrap, "message.timeout.ms": 3000, "log_level": 0},
        on_delivery=lambda error, _: errors.append(error),
    )

    def takes_a_record() -> bool:
        errors.clear()
        producer.produce(topic, b"x")
        producer.flush()  # ends: the message times out
        return errors[0] is None  # a KafkaError cannot be compared with None

    yield takes_a_record


@pytest.mark.long
def test_a_cluster_outlives_one_broker_frozen_killed_and_wiped_but_not_two(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster, taker(cluster, "t") as takes_a_record:
        make_topic(cluster, "t")
        assert takes_a_record()

        leader = cluster.leader("t")
        cluster.freeze(leader)
        wait_until(takes_a_record, 60, "another leader to take records")
        assert cluster.leader("t") != leader
        cluster.thaw(leader)

        cluster.kill(leader)
        cluster.wipe(leader)
        assert takes_a_record()
        other = cluster.leader("t")
        cluster.kill(other)
        assert not takes_a_record()

        cluster.start(other, leader)
        cluster.wait_started(other, leader)
        wait_until(takes_a_record, 30, "two of three to take records again")


def test_a_broker_that_is_alone_comes_back_at_its_address_with_what_it_had(tmp_path: Path) -> None:
    with running_cluster(tmp_path, size=1) as cluster, taker(cluster, "t") as takes_a_record:
        make_topic(cluster, "t")

        cluster.restart(0, kill=True)

        assert takes_a_record()
