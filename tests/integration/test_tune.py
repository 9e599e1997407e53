"""Searching for parameters, reports and making a version again, by the commands, on real Kafka."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from harness.brokers import Broker
from harness.fresh import environment_of, fresh_settings

from registry.connection.client_config import client_config
from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed
from registry.kafka.topic_admin import create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.versions.manifest import Parameters
from registry.versions.store import Store
from registry.wire.codec import encode
from tests.unit.training.builders import cells_of, checkerboard_events, parameters, watch
from training.data.matrix import Csr, Factors
from training.fitting.als import fit_als
from training.runs.tune import SearchBounds, Trial, Tuned, tune

ROOT = Path(__file__).resolve().parents[2]
LONG = 60.0


@pytest.fixture(scope="module")
def settings(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a topic with a checkerboard in it."""
    folder = tmp_path_factory.mktemp("tune")
    fresh = fresh_settings(broker.bootstrap, folder, RETRAIN_FACTORS="4", RETRAIN_ITERATIONS="8")
    create_topics(fresh)
    producer = Producer(client_config(fresh))
    for event in checkerboard_events(40, 40):
        producer.produce(topics_of(fresh).interactions.name, encode(event))
    assert producer.flush(30) == 0
    return fresh


def recstream(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", *words],
        cwd=ROOT,
        env={**os.environ, **environment_of(settings)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def tuned(settings: Settings, study: Path, trials: int, *more: str) -> dict[str, Any]:
    words = ("tune", "--trials", str(trials), "--study", str(study), "--json", *more)
    done = recstream(settings, *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_search_goes_on_where_it_was_and_writes_the_winner(
    settings: Settings, tmp_path: Path
) -> None:
    study, env = tmp_path / "study.journal", tmp_path / ".env"
    env.write_text("ENVIRONMENT=staging\nRETRAIN_ALPHA=99\n")

    first = tuned(settings, study, 3)
    second = tuned(settings, study, 5, "--env", str(env))
    third = tuned(settings, study, 5)

    assert [trial["trials"] for trial in (first, second, third)] == [3, 5, 5]
    assert third == second  # nothing was left to try
    assert second["metrics"]["ndcg_at_10"] > second["metrics"]["popularity_ndcg_at_10"]
    lines = dict(line.split("=", 1) for line in env.read_text().splitlines())
    assert lines == {"ENVIRONMENT": "staging", **second["settings"]}


def test_a_report_is_stored_with_the_version_and_written_where_it_is_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"

    done = recstream(settings, "train", "--report", str(report), "--json")

    version = json.loads(done.stdout)["training"]["version"]
    assert {"report.html", "report.md"} < Store(settings.model_registry).verify(
        version
    ).files.keys()
    assert (
        report.read_bytes()
        == (Path(settings.model_registry) / version / "report.html").read_bytes()
    )


def test_a_refused_run_writes_its_report_too(settings: Settings, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    strict = settings.model_copy(update={"retrain_min_users": 1_000})

    done = recstream(strict, "train", "--report", str(report))

    assert done.returncode == 1
    assert "**fail** | users | 40 | at least 1000" in report.read_text()


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_learned(
    settings: Settings, tmp_path: Path
) -> None:
    done = recstream(settings, "train", "--report", str(tmp_path / "missing" / "report.html"))

    assert done.returncode == 2
    assert "the folder does not exist" in done.stderr


def test_a_version_is_made_again_bit_by_bit(settings: Settings) -> None:
    version = json.loads(recstream(settings, "train", "--json").stdout)["training"]["version"]

    done = recstream(settings, "reproduce", version, "--json")

    assert json.loads(done.stdout) == {
        "version": version,
        "equal": True,
        "different": [],
        "largest_difference": {"user_factors": 0.0, "item_factors": 0.0, "popularity": 0.0},
    }
    assert done.returncode == 0


def test_the_topic_is_inspected_before_anything_is_learned_and_a_version_afterwards(
    settings: Settings,
) -> None:
    topic = json.loads(recstream(settings, "inspect", "--json").stdout)
    version = json.loads(recstream(settings, "train", "--json").stdout)["training"]["version"]

    assert topic["events"] == {"watch": len(checkerboard_events(40, 40))}
    assert topic["pairs"] == len(checkerboard_events(40, 40))
    assert json.loads(recstream(settings, "inspect", version, "--json").stdout) == topic
    assert "most active users" in recstream(settings, "inspect").stdout


def test_without_optuna_the_command_says_so_before_it_looks_for_kafka() -> None:
    code = "import sys; sys.modules['optuna'] = None; from ops.cli.main import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", code, "tune", "--bootstrap", "127.0.0.1:1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 2
    assert "pip install -e '.[tune]' in a checkout" in done.stderr


def searched(study: Path, trials: int, seconds: float = LONG, **more: Any) -> Tuned:
    given: dict[str, Any] = {
        "start": parameters(),
        "snapshot_id": "sha256:1",
        "fit": fit_als,
        "report": lambda _one, _best: None,
    } | more
    cells = cells_of(*checkerboard_events())
    return tune(
        cells=cells,
        holdout=0.2,
        bounds=SearchBounds(trials, seconds),
        study_file=study,
        threads=1,
        **given,
    )


def test_the_search_begins_with_the_present_settings(tmp_path: Path) -> None:
    found = searched(tmp_path / "study", 1)

    assert [trial.parameters for trial in found.trials] == [parameters()]
    assert found.best == parameters()
    assert found.quality.differences["incumbent"]["ndcg"].value == 0


def test_trials_of_another_snapshot_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    searched(tmp_path / "study", 2)

    other = searched(tmp_path / "study", 1, snapshot_id="sha256:2")
    floored = searched(tmp_path / "study", 1, start=parameters(rating_floor=2.0))

    assert len(other.trials) == len(floored.trials) == 1


def test_no_trial_sees_what_the_winner_is_judged_by(tmp_path: Path) -> None:
    sizes: list[int] = []

    def counted(weights: Csr, hyperparameters: Parameters, threads: int, advance: Any) -> Factors:
        sizes.append(len(weights.indices))
        return fit_als(weights, hyperparameters, threads, advance)

    searched(tmp_path / "study", 2, fit=counted)

    trials, afterwards = sizes[:2], sizes[2:]  # the winner, without each change, and the start
    events, users = len(checkerboard_events()), 24
    assert set(afterwards) == {events - 2 * users}  # a fifth of eleven each
    assert trials == [events - 2 * users - users] * 2  # and of nine


def test_a_fit_that_fails_is_a_trial_that_failed(tmp_path: Path) -> None:
    reported: list[Trial] = []

    def failing(weights: Csr, asked: Parameters, threads: int, advance: Any) -> Factors:
        if asked != parameters():
            raise TrainingFailed("no", TrainingCode.NOT_A_NUMBER)
        return fit_als(weights, asked, threads, advance)

    found = searched(
        tmp_path / "study",
        3,
        fit=failing,
        report=lambda ended_trial, _best: reported.append(ended_trial),
    )

    assert [trial.ndcg is None for trial in reported] == [False, True, True]
    assert found.best == parameters()


def test_without_anybody_to_judge_the_search_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="no user has enough interactions"):
        tune(
            cells_of(watch(1, 1)),
            "sha256:1",
            parameters(),
            0.2,
            SearchBounds(1, LONG),
            tmp_path / "study",
            fit_als,
            1,
            lambda _one, _best: None,
        )
