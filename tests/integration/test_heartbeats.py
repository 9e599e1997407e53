"""Following the fleet topic survives what happens to Kafka and to the topic."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from harness.fresh import fresh_settings
from harness.waiting import wait_until

from ops.local.kafka_cluster import running_cluster
from registry.connection.client_config import client_config
from registry.kafka.topic_admin import check_topics, create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.heartbeats import Heartbeat
from streams.control.heartbeat_follower import HeartbeatFollower, heartbeats_since


class Heard:
    """A follower on an event loop of its own, and what it has told."""

    def __init__(self, settings: Settings) -> None:
        self.fleet: dict[str, Heartbeat] = {}
        self.calls = 0
        self.ends = 0
        self.refused: Counter[str] = Counter()
        self.starts: list[float] = []
        self.longest = 0
        self.follower = HeartbeatFollower(
            settings,
            topics_of(settings).fleet,
            hear=self._hear,
            note_start=self.starts.append,
            note_end=self._end,
            count_refused=lambda code: self.refused.update([code]),
        )

    def _hear(self, heartbeats: list[Heartbeat]) -> None:
        self.calls += 1
        self.longest = max(self.longest, len(heartbeats))
        self.fleet |= {heartbeat.instance: heartbeat for heartbeat in heartbeats}

    def _end(self) -> None:
        self.ends += 1

    def lag_of(self, instance: str) -> int:
        return self.fleet[instance].lag if instance in self.fleet else -1


@contextmanager
def following(settings: Settings) -> Iterator[Heard]:
    heard, loop = Heard(settings), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> None:
        heard.follower.start()

    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield heard
    finally:
        heard.follower.stop()
        heard.follower._thread.join(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def a_beat(worker: str, lag: int, environment: str = "production") -> bytes:
    return encode(Heartbeat(worker, f"{worker}@1", environment, at=0.0, lag=lag))


def send(settings: Settings, *values: bytes | None) -> None:
    producer = Producer(client_config(settings))
    for value in values:
        producer.produce(topics_of(settings).fleet.name, value, b"w")
    assert producer.flush(30) == 0


@pytest.fixture(params=["kafka", "embedded"])
def on_either_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of Apache Kafka, and of the embedded broker."""
    settings = fresh_settings(request.getfixturevalue(request.param), tmp_path)
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    return settings


def test_of_many_records_and_garbage_the_latest_of_each_worker_comes_in_few_calls(
    on_either_broker: Settings,
) -> None:
    send(
        on_either_broker,
        *(a_beat(f"w{number % 3}", number) for number in range(3000)),
        *(None, b"{", b"[" * 300_000),
        a_beat("w3", 1, "staging"),
    )
    with following(on_either_broker) as heard:
        wait_until(lambda: heard.lag_of("w2@1") == 2999, 15, "the last one")
        wait_until(lambda: heard.refused.total() == 3, 5, "the garbage")
        assert set(heard.fleet) == {"w0@1", "w1@1", "w2@1"}
        assert abs(heard.fleet["w2@1"].at - time.time()) < 60  # the broker's stamp
        assert heard.refused == {"empty": 1, "malformed": 1, "too_large": 1}
        assert heard.longest <= 3
        assert heard.calls < 30
        wait_until(lambda: heard.ends, 5, "the end of the topic")
        send(on_either_broker, a_beat("w1", 5000))
        wait_until(lambda: heard.lag_of("w1@1") == 5000, 2, "a new one at once")
    found = heartbeats_since(on_either_broker, topics_of(on_either_broker).fleet, time.time() - 60)
    assert {heartbeat.instance: heartbeat.lag for heartbeat in found} == {
        "w0@1": 2997,
        "w1@1": 5000,
        "w2@1": 2999,
    }
    later = time.time() + 3600
    assert heartbeats_since(on_either_broker, topics_of(on_either_broker).fleet, later) == []


def test_a_topic_that_is_made_again_is_followed_again(topics_created: Settings) -> None:
    admin = AdminClient(client_config(topics_created))
    fleet = topics_of(topics_created).fleet.name
    send(topics_created, *(a_beat("w1", number) for number in range(10)))
    with following(topics_created) as heard:
        wait_until(lambda: heard.lag_of("w1@1") == 9, 15, "the first topic")
        admin.delete_topics([fleet])[fleet].result(timeout=20)
        wait_until(lambda: fleet not in admin.list_topics(timeout=5).topics, 15, "it to go")
        create_topics(topics_created)

        def hears() -> bool:
            with suppress(AssertionError):
                send(topics_created, a_beat("w1", 77))
            return heard.lag_of("w1@1") == 77

        wait_until(hears, 30, "the new topic to be heard")


def test_heartbeats_are_heard_again_after_the_broker_was_away(tmp_path: Path) -> None:
    with running_cluster(tmp_path, size=1) as cluster:
        settings = fresh_settings(cluster.bootstrap, tmp_path)
        create_topics(settings)
        send(settings, a_beat("w1", 1))
        with following(settings) as heard:
            wait_until(lambda: heard.lag_of("w1@1") == 1, 60, "the first one")
            cluster.restart(0, kill=True)
            send(settings, a_beat("w1", 2))
            wait_until(lambda: heard.lag_of("w1@1") == 2, 60, "one after the restart")
