"""From a file of items to a version's titles and labels: sent once, read by a training, kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from harness.fresh import environment_of, fresh_settings, without
from harness.waiting import wait_until

from registry.catalogue.item_keys import key_of
from registry.connection.client_config import client_config
from registry.kafka.item_records import read_item_records
from registry.kafka.topic_admin import check_topics, create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.versions.store import Store, store_of
from registry.wire.codec import encode
from registry.wire.training_records.training_messages import TrainingResult
from tests.unit.training.builders import checkerboard_events, parameters
from training.runs.progress import Journal
from training.runs.reproduce import reproduce
from training.runs.run_stages import train

ROOT = Path(__file__).resolve().parents[2]
ITEMS = """id,title,genres
0,Zero of the topic,Drama|Crime
1,,Drama
2,Two of the topic,(no genres listed)
sku-1,Not in the training set,Comedy
"""


def recstream(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    environment = without(os.environ) | environment_of(settings) | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run(settings: Settings) -> TrainingResult:
    return train(
        settings,
        parameters(),
        run_id=uuid.uuid4().hex,
        incumbent=None,
        report=lambda _line: None,
        created_by="test",
    )


def items_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return found


@pytest.fixture(params=["best", "embedded"])
def settings_on_each_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with topics, on the best broker and on the embedded one."""
    fixture = "kafka" if request.param == "best" else "embedded"
    settings = fresh_settings(request.getfixturevalue(fixture), tmp_path)
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    return settings


def test_items_are_sent_once_withdrawn_and_brought_back_by_the_command_line(
    settings_on_each_broker: Settings, tmp_path: Path
) -> None:
    settings, file = settings_on_each_broker, tmp_path / "movies.csv"
    file.write_text(ITEMS)
    sent = recstream(settings, "items", "load", str(file), "--json")
    assert (sent.returncode, json.loads(sent.stdout)["sent"]) == (0, 4), sent.stderr
    withdrawn = recstream(settings, "items", "withdraw", "0", "-5", "sku-1", "--json")
    assert [(item["item_id"], item["withdrawn"]) for item in items_of(withdrawn)] == [
        (0, True),
        (-5, True),
        ("sku-1", True),
    ]
    again = recstream(settings, "items", "load", str(file))
    assert "0 items sent" in again.stdout
    assert "4 are on" in again.stdout
    ends = recstream(settings, "items", "withdraw", "2", "--at", "2100-01-01", "--json")
    assert items_of(ends)[0]["available_until"] == 4102444800.0
    shown = recstream(settings, "items", "show", "0", "2", "nobody")
    assert shown.returncode == 1
    for words in ("Zero of the topic", "withdrawn", "available until 2100-01-01", "'nobody'"):
        assert words in shown.stdout + shown.stderr, shown
    back = items_of(recstream(settings, "items", "restore", "0", "2", "--json"))
    assert [item["title"] for item in back] == ["Zero of the topic", "Two of the topic"]
    assert not any("withdrawn" in item or "available_until" in item for item in back)
    records = read_item_records(settings)
    assert (len(records), records.end) == (5, 10)


def test_a_training_takes_titles_and_labels_from_the_topic_and_can_be_reproduced_afterwards(
    topics_created: Settings, tmp_path: Path
) -> None:
    settings, file, topics = topics_created, tmp_path / "movies.csv", topics_of(topics_created)
    producer = Producer(client_config(settings))
    for event in checkerboard_events():
        producer.produce(topics.interactions.name, encode(event))
    producer.produce(topics.items.name, b"garbage", b"0")
    assert producer.flush(30) == 0
    file.write_text(ITEMS)
    assert recstream(settings, "items", "load", str(file)).returncode == 0

    result = run(settings)
    assert result.status == "published", result.reason
    assert result.version is not None
    store = Store(settings.model_registry)
    model, manifest = store.open(result.version), store.verify(result.version)
    titles = dict(zip(model.arrays.item_ids, model.arrays.titles, strict=True))
    assert (titles[0], titles[2]) == ("Zero of the topic", "Two of the topic")
    assert model.labels is not None
    row = model.arrays.item_ids.index
    assert model.labels.of(row(0)) == {"genre": ["Crime", "Drama"]}
    assert model.labels.of(row(1)) == {"genre": ["Drama"]}
    assert model.labels.of(row(2)) == {}
    read = manifest.data_snapshot.catalogue
    assert read is not None
    assert (read.records, read.titled, read.labelled) == (3, 2, 2)
    assert (read.end, read.unusable) == (5, {"malformed": 1})

    producer.produce(topics.items.name, None, key_of(0))  # the topic goes on
    assert producer.flush(30) == 0
    journal = Journal("again", lambda _: None)
    assert reproduce(settings, store_of(settings), result.version, journal).is_equal


def test_a_deployment_without_an_items_topic_trains_by_the_titles_of_its_interactions(
    topics_created: Settings,
) -> None:
    settings, topics = topics_created, topics_of(topics_created)
    producer, admin = Producer(client_config(settings)), AdminClient(client_config(settings))
    for event in checkerboard_events():
        producer.produce(topics.interactions.name, encode(event))
    assert producer.flush(30) == 0
    admin.delete_topics([topics.items.name])[topics.items.name].result(10)
    wait_until(lambda: topics.items.name not in admin.list_topics(timeout=5).topics, 15, "no topic")

    result = run(settings)
    assert result.status == "published", result.reason
    assert result.version is not None
    manifest = store_of(settings).manifest(result.version)
    assert manifest.data_snapshot.catalogue is None
    assert not [name for name in manifest.files if "label" in name or "items.jsonl" in name]
    assert recstream(settings, "items", "show", "0").returncode == 2
