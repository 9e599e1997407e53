"""Spark's fit, on a Spark of this machine: what it minimises, its progress, its ends, its quality.

Skipped where pyspark or Java is missing, unless it is CI. Bounded: small matrices, one thread.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from confluent_kafka import Producer

from ops.bench.quality import shipped_cells
from registry.connection.client_config import client_config
from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed
from registry.kafka.topics import topics_of
from registry.settings import Settings, read_settings
from registry.versions.manifest import ColdStart, Parameters
from registry.versions.store import Store
from registry.wire.codec import encode
from tests.unit.training.builders import cells_of, checkerboard_events, parameters
from training.data.cell_weights import settle_transforms, weights
from training.data.matrix import Csr, Factors, csr
from training.fitting.als import Fit, fit_als
from training.fitting.spark import GROUP, fit_spark, iterations_in, spark_regularization
from training.fitting.spark_session import Cluster
from training.judging.holdout import Split, split
from training.judging.quality_estimates import measure
from training.judging.ranking_metrics import Judgement, by_factors, judge
from training.runs.progress import Journal
from training.runs.reproduce import reproduce
from training.runs.run_rules import parameters_of
from training.runs.run_stages import train

ROOT = Path(__file__).resolve().parents[2]
LOCAL = Cluster(memory="1g")
TOLD = parameters(iterations=12, regularization=0.5)

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")


@pytest.fixture(scope="module", autouse=True)
def spark_there() -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("pyspark")
        if shutil.which("java") is None:
            pytest.skip("Spark needs Java")


@pytest.fixture(scope="module")
def board() -> Csr:
    """The checkerboard, with a last user who has done nothing that teaches."""
    cells = cells_of(*checkerboard_events())
    weight = np.random.default_rng(1).uniform(0.2, 3, len(cells.user)).astype(np.float32)
    return csr(cells, cells.user != cells.user.max(), weight)


def silently(_done: int) -> None:
    pass


def child(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `script`, with a fit by Spark of a tiny matrix as ``fit()``."""
    prepared = (
        "import sys\n"
        "import numpy as np\n"
        "from tests.unit.training.builders import parameters\n"
        "from registry.errors import TrainingFailed\n"
        "from training.data.matrix import Csr\n"
        "from training.fitting.spark import GROUP, fit_spark\n"
        "from training.fitting.spark_session import Cluster\n"
        "one = Csr(np.array([0, 1]), np.array([0], 'i4'), np.array([1], 'f4'), (1, 1))\n"
        "def fit(cluster=Cluster(), advance=lambda done: None):\n"
        "    try:\n"
        "        return fit_spark(cluster, one, parameters(), 1, advance)\n"
        "    except TrainingFailed as error:\n"
        "        print(error.code, error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prepared + script],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Fitted(NamedTuple):
    """A fit, what it told on its way, and the names of its jobs."""

    factors: Factors
    steps: list[int]
    jobs: list[str]


@pytest.fixture(scope="module")
def fitted(board: Csr) -> Fitted:
    from pyspark import SparkContext

    steps: list[int] = []
    jobs: list[str] = []

    def follow(done: int) -> None:
        steps.append(done)
        if done == TOLD.iterations:
            tracker = SparkContext.getOrCreate().statusTracker()
            group_jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(GROUP)]
            jobs[:] = [
                tracker.getStageInfo(max(group_job.stageIds)).name for group_job in group_jobs
            ]

    return Fitted(fit_spark(LOCAL, board, TOLD, 1, follow), steps, jobs)


def test_a_fit_solves_the_equation_that_its_module_states(board: Csr, fitted: Fitted) -> None:
    users, items = fitted.factors
    y = items.astype(np.float64)
    for row, found in enumerate(users[:-1]):
        entries = slice(board.indptr[row], board.indptr[row + 1])
        mine, surplus = y[board.indices[entries]], TOLD.alpha * board.values[entries]
        ridge = spark_regularization(board, TOLD.regularization) * len(surplus)
        left = y.T @ y + (mine.T * surplus) @ mine + ridge * np.eye(TOLD.factors)
        np.testing.assert_allclose(found, np.linalg.solve(left, mine.T @ (1 + surplus)), atol=1e-5)
    assert not users[-1].any()  # nobody can tell anything of this one
    assert (users.dtype, items.dtype) == (np.float32, np.float32)


def test_a_fit_tells_how_far_it_is(fitted: Fitted) -> None:
    assert fitted.steps == sorted(fitted.steps)
    assert fitted.steps[-1] == TOLD.iterations


def test_the_jobs_of_a_fit_tell_its_iterations(fitted: Fitted) -> None:
    """Spark has no callback; this is the behaviour of it that we count by."""
    aggregates = sum(name.startswith("aggregate at ALS") for name in fitted.jobs)

    assert aggregates == 2 * TOLD.iterations + 1  # the lineage was cut once
    assert iterations_in(aggregates) == TOLD.iterations


def test_the_same_seed_gives_the_same_factors_and_another_one_others(board: Csr) -> None:
    first, again, other = (
        fit_spark(LOCAL, board, parameters(seed=seed, iterations=1), 1, silently)
        for seed in (7, 7, 8)
    )

    assert np.array_equal(first.users, again.users)
    assert np.array_equal(first.items, again.items)
    assert not np.array_equal(first.users, other.users)


def test_without_any_weight_all_factors_are_zero() -> None:
    nothing = Csr(np.zeros(3, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), (2, 3))

    users, items = fit_spark(LOCAL, nothing, parameters(), 1, silently)

    assert (users.shape, items.shape) == ((2, 4), (3, 4))
    assert not users.any()
    assert not items.any()


def test_a_run_that_must_end_stops_spark_and_leaves_nothing_in_the_staging_folder(
    board: Csr, tmp_path: Path
) -> None:
    from pyspark import SparkContext

    staged: list[int] = []

    def end(_done: int) -> None:
        staged.append(len(list(tmp_path.iterdir())))
        raise TrainingFailed("the lock is gone", TrainingCode.LOST_LOCK)

    with pytest.raises(TrainingFailed, match="the lock is gone"):
        fit_spark(Cluster(staging=str(tmp_path)), board, parameters(iterations=500), 1, end)

    assert staged == [1]
    assert not list(tmp_path.iterdir())
    assert SparkContext._active_spark_context is None


def test_the_quality_on_the_shipped_data_is_that_of_implicit() -> None:
    cells = shipped_cells()
    hyperparameters = settle_transforms(
        parameters_of(read_settings({"TRAIN_BACKEND": "spark"})), cells
    )
    halves = split(cells, weights(cells, hyperparameters), read_settings({}).retrain_holdout)

    ours = judged(partial(fit_spark, LOCAL), halves, hyperparameters)
    theirs = judged(fit_als, halves, hyperparameters)

    compared = measure(ours, ours, theirs, "recipe", 0.0)
    for metric in ("ndcg", "hr", "recall"):
        bounds = compared.differences["incumbent"][metric].bounds
        assert bounds is not None
        assert bounds[0] <= 0 <= bounds[1], metric
    low, high = compared.intervals["incumbent_ndcg_at_10"]
    assert low <= compared.metrics["ndcg_at_10"] <= high


def judged(fit: Fit, halves: Split, hyperparameters: Parameters) -> Judgement:
    found = judge(by_factors(fit(halves.older, hyperparameters, 1, silently)), halves)
    assert found is not None
    return found


def test_a_whole_run_by_spark_publishes_a_version_like_any_other(topics_created: Settings) -> None:
    by_fit = {
        "train_backend": "spark",
        "train_spark_memory": "1g",
        "retrain_factors": 4,
        "retrain_iterations": 4,
        "retrain_regularization": 0.5,
    }
    settings = topics_created.model_copy(update=by_fit)
    producer = Producer(client_config(settings))
    for event in checkerboard_events(40, 40):
        producer.produce(topics_of(settings).interactions.name, encode(event))
    assert producer.flush(30) == 0

    result = train(
        settings,
        parameters_of(settings),
        run_id="1",
        incumbent=None,
        report=lambda _: None,
        created_by="test",
    )

    assert (result.status, result.reason) == ("published", None)
    assert result.version is not None
    store = Store(settings.model_registry)
    made = store.verify(result.version).provenance
    assert made is not None
    assert made.start == ColdStart("spark's fit cannot start from given factors")
    assert store.open(result.version).arrays.user_factors.shape == (40, 4)

    # by the backend that made it, whatever TRAIN_BACKEND says now
    by_implicit = settings.model_copy(update={"train_backend": "implicit"})
    assert reproduce(by_implicit, store, result.version, Journal("2", lambda _: None)).is_equal


def test_without_pyspark_a_run_says_what_to_install() -> None:
    done = child("sys.modules['pyspark'] = None\nfit()")

    assert done.stdout.startswith("spark_missing TRAIN_BACKEND=spark needs pyspark"), done.stderr
    assert "pip install -e '.[spark]' in a checkout" in done.stdout


def test_without_java_a_run_says_so(tmp_path: Path) -> None:
    done = child("fit()", JAVA_HOME=str(tmp_path))

    assert done.stdout.startswith("no_java TRAIN_BACKEND=spark needs Java 17"), done.stderr
    assert str(tmp_path) in done.stdout


def test_a_master_that_is_not_there_is_named() -> None:
    done = child("fit(Cluster(master='spark://127.0.0.1:1'))")

    assert done.stdout.startswith(
        "spark_unreachable TRAIN_SPARK_MASTER='spark://127.0.0.1:1': 127.0.0.1:1 refuses connec"
    ), done.stderr


def test_a_master_that_spark_does_not_know_is_named() -> None:
    done = child("fit(Cluster(master='mesh://nowhere'))")

    assert done.stdout.startswith(
        "spark_unreachable cannot reach Spark at TRAIN_SPARK_MASTER='mesh://nowhere'"
    ), done.stderr


def test_a_staging_folder_that_cannot_be_made_is_named(board: Csr, tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_bytes(b"")

    with pytest.raises(TrainingFailed, match="TRAIN_SPARK_STAGING") as refused:
        fit_spark(Cluster(staging=str(taken)), board, parameters(), 1, silently)

    assert refused.value.code == "spark_staging"


def test_a_spark_that_is_killed_ends_the_run_with_a_code() -> None:
    done = child(
        "import signal\n"
        "from pyspark import SparkContext\n"
        "def kill(done):\n"
        "    SparkContext._gateway.proc.send_signal(signal.SIGKILL)\n"
        "fit(advance=kill)"
    )

    assert done.stdout.startswith("spark_failed"), done.stderr
    assert done.returncode == 0
