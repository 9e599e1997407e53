"""What `recstream fleet` and `rollout status` read of a fleet, on real Kafka without a worker."""

from __future__ import annotations

import time

from ops.clients import kafka_client as client
from ops.clients.fleet_observer import heartbeats
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.heartbeats import Heartbeat

HOUR = 3600.0


def send(settings: Settings, *beats: Heartbeat | bytes) -> None:
    records = (
        ("w", heartbeat if isinstance(heartbeat, bytes) else encode(heartbeat))
        for heartbeat in beats
    )
    client.produce_all(settings, topics_of(settings).fleet, records)


def test_a_worker_whose_clock_is_wrong_is_as_fresh_as_the_broker_says(
    topics_created: Settings,
) -> None:
    began = time.time()
    ours = topics_created.environment
    send(
        topics_created,
        *(Heartbeat(f"w{off:+g}", f"i{off:+g}", ours, began + off) for off in (-HOUR, HOUR)),
    )
    seen = heartbeats(topics_created)
    assert [heartbeat.worker for heartbeat in seen] == ["w+3600", "w-3600"]
    assert all(began - 1 <= heartbeat.at <= time.time() + 1 for heartbeat in seen)


def test_the_newest_heartbeat_of_each_instance_counts_and_what_is_none_is_left_out(
    topics_created: Settings,
) -> None:
    ours, now = topics_created.environment, time.time()
    send(
        topics_created,
        Heartbeat("w1", "i1", ours, now, lag=7),
        b"not a heartbeat",
        Heartbeat("w2", "i2", "another environment", now),
        Heartbeat("w1", "i1", ours, now, lag=3),
        Heartbeat("w1", "i1 after a restart", ours, now, lag=1),
    )
    seen = heartbeats(topics_created)
    assert {heartbeat.instance: heartbeat.lag for heartbeat in seen} == {
        "i1": 3,
        "i1 after a restart": 1,
    }
