"""A run that replaces a version is judged by what is served, on what came after it; real Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from harness.brokers import Broker
from harness.fresh import fresh_settings

from registry.connection.client_config import client_config
from registry.kafka.topic_admin import create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.versions.store import Store
from registry.wire.codec import encode
from registry.wire.training_records.interactions import Interaction
from registry.wire.training_records.training_messages import TrainingResult
from tests.unit.training.builders import checkerboard_events, parameters
from training.runs.run_stages import train

EVENTS = checkerboard_events(120)
OLDER = [event for event in EVENTS if (event.timestamp or 0) < 16]
NEWER = [event for event in EVENTS if (event.timestamp or 0) >= 16]


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> Settings:
    fresh = fresh_settings(broker.bootstrap, tmp_path)
    create_topics(fresh)
    return fresh


def produce(settings: Settings, events: Iterable[Interaction]) -> None:
    producer = Producer(client_config(settings))
    for event in events:
        producer.produce(topics_of(settings).interactions.name, encode(event))
    assert producer.flush(30) == 0


def run(settings: Settings, incumbent: str | None = None) -> TrainingResult:
    return train(
        settings,
        parameters(),
        run_id=uuid.uuid4().hex,
        incumbent=incumbent,
        report=lambda _: None,
        created_by="test",
    )


def allowed(result: TrainingResult) -> str:
    assert result.gate is not None
    (check,) = (check for check in result.gate.checks if check.name == "not_worse_than_incumbent")
    return check.allowed


def test_only_after_new_interactions_it_is_judged_as_served(settings: Settings) -> None:
    produce(settings, OLDER)
    assert run(settings).version == "v0.1"

    again = run(settings, "v0.1")
    produce(settings, NEWER)
    newer = run(settings, "v0.2")

    assert "v0.1's parameters, fitted again" in allowed(again)
    assert "v0.2 as served, on interactions that are new to it" in allowed(newer)
    assert newer.version == "v0.3"
    manifest = Store(settings.model_registry).manifest("v0.3")
    low, high = manifest.intervals["incumbent_ndcg_at_10"]
    assert low <= manifest.metrics["incumbent_ndcg_at_10"] <= high


def test_a_damaged_incumbent_is_replaced_all_the_same(settings: Settings) -> None:
    produce(settings, EVENTS)
    run(settings)
    broken = Path(settings.model_registry) / "v0.1" / "als" / "user_factors.npy"
    broken.write_bytes(broken.read_bytes()[:-4])

    result = run(settings, "v0.1")

    assert result.version == "v0.2"
    assert "user_factors.npy" in allowed(result)
