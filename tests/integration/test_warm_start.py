"""Warm starts on real Kafka and the real store: said in the manifest, and made again from there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from harness.fresh import fresh_settings
from typer.testing import CliRunner

from ops.cli.registry_commands import app
from registry.connection.client_config import client_config
from registry.errors import TrainingFailed
from registry.kafka.topic_admin import create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.versions.manifest import Manifest, Start, TrialStart, WarmStart, content_digest
from registry.versions.store import Store
from registry.wire.codec import encode
from registry.wire.training_records.interactions import Interaction
from registry.wire.training_records.training_messages import TrainingProgress
from tests.unit.training.builders import checkerboard_events, forget, parameters, watch
from training.runs.progress import Journal
from training.runs.reproduce import Reproduction, reproduce
from training.runs.run_stages import train

EVENTS = checkerboard_events()


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    """Settings with warm starts, and a version that has learned from all but the newest events."""
    fresh = fresh_settings(kafka, tmp_path, RETRAIN_WARM_ITERATIONS="2")
    create_topics(fresh)
    produce(fresh, (event for event in EVENTS if (event.timestamp or 0) < 20))
    assert start_of_fit(fresh, None) == TrialStart(
        0.2, 3, "there is no version to start from", "time"
    )
    produce(fresh, (event for event in EVENTS if (event.timestamp or 0) >= 20))
    return fresh


def produce(settings: Settings, events: Iterable[Interaction]) -> None:
    producer = Producer(client_config(settings))
    for event in events:
        producer.produce(topics_of(settings).interactions.name, encode(event))
    assert producer.flush(30) == 0


def trained(settings: Settings, incumbent: str | None, **more: Any) -> Manifest:
    """Publish a version; return its manifest."""
    given: dict[str, Any] = {"report": lambda _line: None, **more}
    result = train(
        settings, parameters(), run_id="run", incumbent=incumbent, created_by="test", **given
    )
    assert result.status == "published", result
    return Store(settings.model_registry).manifest(str(result.version))


def start_of_fit(settings: Settings, incumbent: str | None) -> Start | None:
    made = trained(settings, incumbent).provenance
    assert made is not None
    return made.start


def again(settings: Settings, version: str) -> Reproduction:
    store = Store(settings.model_registry)
    return reproduce(settings, store, version, Journal("again", lambda _: None))


def test_the_manifest_names_what_the_fit_began_with_and_it_is_made_again_from_there(
    settings: Settings,
) -> None:
    store = Store(settings.model_registry)
    stages: list[TrainingProgress] = []

    manifest = trained(settings, "v0.1", report=stages.append)

    digest = content_digest(store.manifest("v0.1"))
    assert manifest.provenance is not None
    assert manifest.provenance.start == WarmStart("v0.1", digest, users=24, items=24, iterations=2)
    assert manifest.parameters == parameters()
    assert b"from v0.1" in store.read("v0.2", "report.md")
    assert any("from v0.1" in (line.message or "") for line in stages)
    shown = CliRunner().invoke(app, ["show", "v0.2", "--registry", store.url])
    assert "from v0.1's factors" in shown.output
    assert again(settings, "v0.2").is_equal

    # negative control: one that began elsewhere is another
    other = trained(settings.model_copy(update={"retrain_warm_iterations": 0}), "v0.1")
    assert other.provenance is not None
    assert other.provenance.start == TrialStart(0.2, 3, order="time")
    theirs, ours = (store.open(version).arrays.item_factors for version in ("v0.2", other.version))
    assert not (theirs == ours).all()


def test_a_version_that_began_with_its_trial_is_made_again_as_is_one_that_began_at_random(
    settings: Settings,
) -> None:
    store = Store(settings.model_registry)
    stages: list[TrainingProgress] = []
    plain = settings.model_copy(update={"retrain_warm_iterations": 0})
    ours = trained(plain, None, report=stages.append)
    other = trained(plain.model_copy(update={"retrain_holdout": 0.3}), None)
    cold = trained(plain.model_copy(update={"retrain_final_iterations": 0}), None)

    starts = [manifest.provenance.start for manifest in (ours, other, cold) if manifest.provenance]
    assert starts == [TrialStart(0.2, 3, order="time"), TrialStart(0.3, 3, order="time"), None]
    assert any("from the trial's factors" in (line.message or "") for line in stages)
    assert b"from the trial&#39;s factors" in store.read(ours.version, "report.html")
    shown = CliRunner().invoke(app, ["show", ours.version, "--registry", store.url])
    assert "from the trial's factors" in shown.output
    for version in (ours.version, other.version, cold.version):
        assert again(settings, version).is_equal  # whatever the settings of now
    items = [store.open(manifest.version).arrays.item_factors for manifest in (ours, other, cold)]
    assert not (items[0] == items[1]).all()
    assert not (items[0] == items[2]).all()


def test_a_version_whose_start_is_gone_or_another_is_not_made_again(settings: Settings) -> None:
    store = Store(settings.model_registry)
    trained(settings, "v0.1")
    store.hide("v0.1")

    with pytest.raises(TrainingFailed) as gone:
        again(settings, "v0.2")
    assert gone.value.code == "lost_start"
    assert "v0.2 started from the factors of v0.1" in str(gone.value)

    store.restore("v0.1")
    assert again(settings, "v0.2").is_equal


def test_what_was_forgotten_does_not_live_on_in_the_next_version(settings: Settings) -> None:
    produce(settings, (event for user in range(100, 140) for event in _watches(user)))
    assert isinstance(start_of_fit(settings, "v0.1"), WarmStart)
    produce(settings, [forget(100, at=1e9)])

    start = start_of_fit(settings, "v0.2")

    assert isinstance(start, TrialStart)
    assert "that v0.2 has seen are no longer in the training set" in start.reason


def test_an_incumbent_that_is_damaged_or_of_other_parameters_is_not_begun_with(
    settings: Settings,
) -> None:
    wider = parameters(factors=5)
    done = train(
        settings,
        wider,
        run_id="run",
        incumbent="v0.1",
        created_by="test",
        report=lambda _line: None,
    )
    assert done.status == "published", done
    provenance = Store(settings.model_registry).manifest(str(done.version)).provenance
    assert provenance is not None
    assert provenance.start == TrialStart(0.2, 3, "v0.1 was trained with factors=4 (now 5)", "time")

    (Path(settings.model_registry) / "v0.1" / "als" / "item_factors.npy").unlink()
    start = start_of_fit(settings, "v0.1")

    assert isinstance(start, TrialStart)
    assert "item_factors.npy is missing" in start.reason


def _watches(user: int) -> list[Interaction]:
    return [watch(user, item, at=float(item)) for item in range(user % 2, 24, 2)]
