r"""The fit past one machine: alternating least squares by Spark.

The only module that knows Spark, an extra of its own (``recstream[spark]``); it is imported when a
fit begins. Must not know Kafka, events, ids or what becomes of the factors: it is a
:data:`training.fitting.als.Fit` but for its first argument, so that split, gate, manifest and
artifact are the same, and a worker cannot tell who fitted what it serves.

Spark's loss is not `implicit`'s. With the weights :math:`w_{ui}`, and :math:`n_u`, :math:`n_i`
of them in a row, in a column, Spark (`ml.recommendation.ALS`, ``implicitPrefs``) minimises

.. math::
    \sum_{u,i} c_{ui} (p_{ui} - x_u^\top y_i)^2
    + \lambda_s \Bigl(\sum_u n_u \|x_u\|^2 + \sum_i n_i \|y_i\|^2\Bigr), \quad
    c_{ui} = 1 + \alpha w_{ui}

and so differs in two places, of which one can be made up for:

- **Regularization** grows with a row's entries (ALS-WR: Zhou, Wilkinson, Schreiber, Pan 2008). On
  average over the rows it is :math:`\lambda_U = \lambda_s \bar n_U` for users and
  :math:`\lambda_I = \lambda_s \bar n_I` for items. Only the product of the two matters, because
  :math:`a x_u` and :math:`y_i / a` give the same scores, and at the best :math:`a` the term is
  :math:`2 \sqrt{\lambda_U \lambda_I} \|X\| \|Y\|`. So ``regularization`` :math:`\lambda` means the
  same strength if :math:`\lambda_s = \lambda / \sqrt{\bar n_U \bar n_I}`. What stays different is
  who bears it: those with many interactions more, those with few less.
- **Confidence** is :math:`1 + \alpha w`, as in Hu, Koren and Volinsky's paper; `implicit` takes
  :math:`\alpha w`. Spark cannot be told a confidence of 1 or less with a preference of 1, which
  an :math:`\alpha w` of up to 1 would need, so ``alpha`` is handed on as it is.

The matrix goes to Spark, and the factors come back, by way of `training.fitting.staging`, so
nothing goes through the driver's memory, and the executors need no Python.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed
from registry.versions.manifest import Parameters
from training.data.matrix import Csr, Factors
from training.fitting.staging import RATINGS, Staging, staged

LEAST_ENTRIES: Final = 10_000
"""A block of users, or items, is one task; fewer entries are not worth one."""

BLOCKS: Final = 10
"""Spark's default: as many tasks at a time."""

MOST_ENTRIES: Final = 1_000_000
"""Of a block, or it would not fit into a task's memory: some 50 bytes each."""

CHECKPOINT_ITERATIONS: Final = 10
"""Without checkpoints Spark's lineage grows with each iteration until its stack overflows."""

POLL_SECONDS: Final = 0.5
"""Between looks at how far Spark is: how late a run notices that it must end."""

CONNECT_SECONDS: Final = 5.0
"""For a standalone master to take a connection. Spark itself would try for a minute."""

GROUP: Final = "recstream fit"

QUIET: Final = {
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
LOOPBACK: Final = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
"""A local Spark listens to nobody else, and does not depend on how the machine's name resolves."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where Spark runs.

    Parameters
    ----------
    master
        Spark's master URL; None: this process's machine, with the threads of the fit.
    staging
        Folder or URL that driver and executors share; None: a temporary folder of this machine.
    memory
        Of the driver, as Spark writes it; a local Spark has nothing else.
    """

    master: str | None = None
    staging: str | None = None
    memory: str = "2g"

    def master_for(self, threads: int) -> str:
        """Return the master URL."""
        return self.master or f"local[{threads}]"


def fit_spark(
    cluster: Cluster,
    weights: Csr,
    parameters: Parameters,
    threads: int,
    advance: Callable[[int], None],
) -> Factors:
    """Return the factors that minimise Spark's loss, as the module describes it.

    Parameters
    ----------
    cluster
        Where Spark runs.
    weights
        (users, items), each above 0.
    parameters
        As of :func:`training.fitting.als.fit_als`. The same seed gives the same factors on one
        thread; on several, sums are made in the order in which tasks end, so the last digits
        differ.
    threads
        Of a local Spark; a cluster has its own.
    advance
        Called twice a second with the number of iterations done; what it raises ends the fit.

    Returns
    -------
    float32, (users, factors) and (items, factors); rows without any weight are zeros.

    Raises
    ------
    TrainingFailed
        ``spark_missing`` without pyspark, ``no_java`` without Java, ``spark_staging`` if the
        staging folder is of no use, ``spark_unreachable`` if Spark did not start at its master,
        ``spark_failed`` if it gave up later.
    """
    if not len(weights.values):
        users, items = (np.zeros((rows, parameters.factors), np.float32) for rows in weights.shape)
        return Factors(users, items)
    session = _imported()
    _require_java()
    with (
        _named_failures("", TrainingCode.SPARK_FAILED),
        staged(weights, cluster.staging) as staging,
        _session(session, cluster, threads) as spark,
    ):
        spark.sparkContext.setCheckpointDir(staging.for_spark("checkpoints"))
        model = _followed(spark, _solver(weights, parameters), staging, advance)
        model.userFactors.write.parquet(staging.for_spark("users"))
        model.itemFactors.write.parquet(staging.for_spark("items"))
        advance(parameters.iterations)
        users, items = (
            staging.factors(side, (rows, parameters.factors))
            for side, rows in zip(("users", "items"), weights.shape, strict=True)
        )
    return Factors(users, items)


def spark_regularization(weights: Csr, regularization: float) -> float:
    r"""Return the ``regParam`` that regularizes as strongly as `implicit` does.

    :math:`\lambda / \sqrt{\bar n_U \bar n_I}`, the means over rows and columns with entries.

    Parameters
    ----------
    weights
        With one entry at least.
    regularization
        As `implicit` means it.

    Examples
    --------
    >>> two_by_two = Csr(np.array([0, 2, 4]), np.array([0, 1, 0, 1]), np.ones(4), (2, 2))
    >>> round(spark_regularization(two_by_two, 3.0), 3)
    1.5
    """
    users = int((np.diff(weights.indptr) > 0).sum())
    items = len(np.unique(weights.indices))
    return regularization * math.sqrt(users * items) / len(weights.values)


def blocks_of(entries: int) -> int:
    """Return into how many blocks users, and items, are cut.

    First values are drawn by block. So blocks follow from the matrix, not from the cluster, and the
    same seed means the same factors on any.

    >>> [blocks_of(entries) for entries in (100, 55_000, 1_000_000, 50_000_000)]
    [1, 6, 10, 50]
    """
    worth, needed = (-(-entries // size) for size in (LEAST_ENTRIES, MOST_ENTRIES))
    return max(needed, min(worth, BLOCKS))


def iterations_in(aggregates: int) -> int:
    """Return how many iterations Spark has done by its `aggregates`, jobs that have ended.

    Each iteration has two, one a side. Where the lineage is cut there is one more.

    >>> [iterations_in(jobs) for jobs in (0, 1, 2, 20, 21, 23)]
    [0, 0, 1, 10, 10, 11]
    """
    cycles, rest = divmod(aggregates, 2 * CHECKPOINT_ITERATIONS + 1)
    return CHECKPOINT_ITERATIONS * cycles + rest // 2


@contextmanager
def _session(session: Any, cluster: Cluster, threads: int) -> Iterator[Any]:
    """Start Spark, and stop it in the end."""
    master = cluster.master_for(threads)
    _require_answer(master)
    told = QUIET | {"spark.driver.memory": cluster.memory}
    told |= LOOPBACK if master.startswith("local") else {}
    builder = session.builder.master(master).appName("recstream")
    absent = f"no Spark at TRAIN_SPARK_MASTER={master!r}: "
    with _named_failures(absent, TrainingCode.SPARK_UNREACHABLE, OSError):
        spark = builder.config(map=told).getOrCreate()
    try:
        yield spark
    finally:
        _stop(spark)


def _stop(spark: Any) -> None:
    """Stop Spark, and all that it is doing."""
    with _named_failures("Spark is gone; its log says why: ", TrainingCode.SPARK_FAILED, OSError):
        spark.stop()


def _imported() -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise TrainingFailed(
            f"TRAIN_BACKEND=spark needs pyspark ({error}): pip install -e '.[spark]' in a "
            "checkout of recstream",
            TrainingCode.SPARK_MISSING,
        ) from error
    return SparkSession


def _require_java() -> None:
    """Refuse to go on without Java: Spark's own error does not name it."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin") if home else None)
    if found is None:
        raise TrainingFailed(
            f"TRAIN_BACKEND=spark needs Java 17 or newer; JAVA_HOME={home!r}, and no java "
            f"{'in its bin' if home else 'on the PATH'}: install one (Debian: "
            "default-jre-headless), or point JAVA_HOME at it",
            TrainingCode.NO_JAVA,
        )


def _require_answer(master: str) -> None:
    """Refuse a standalone master that takes no connection; others are for Spark to find."""
    addresses = re.findall(r"([^/,]+):(\d+)", master) if master.startswith("spark://") else []
    complaints = [_complaint(host, int(port)) for host, port in addresses]
    if addresses and all(complaints):
        raise TrainingFailed(
            f"TRAIN_SPARK_MASTER={master!r}: {'; '.join(map(str, complaints))}. Start the master, "
            "or correct the address",
            TrainingCode.SPARK_UNREACHABLE,
        )


def _complaint(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{host}:{port} takes no connection ({error})"
    return None


def _solver(weights: Csr, parameters: Parameters) -> Any:
    from pyspark.ml.recommendation import ALS

    blocks = blocks_of(len(weights.values))
    return ALS(
        rank=parameters.factors,
        maxIter=parameters.iterations,
        regParam=spark_regularization(weights, parameters.regularization),
        alpha=parameters.alpha,
        seed=parameters.seed,
        implicitPrefs=True,
        nonnegative=False,
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        checkpointInterval=CHECKPOINT_ITERATIONS,
        userCol="user",
        itemCol="item",
        ratingCol="rating",
    )


def _followed(spark: Any, solver: Any, staging: Staging, advance: Callable[[int], None]) -> Any:
    """Fit in a thread of its own, telling `advance` how far Spark is; stop Spark if it raises."""
    context, ratings = spark.sparkContext, spark.read.parquet(staging.for_spark(RATINGS))

    def fit() -> Any:
        context.setJobGroup(GROUP, "alternating least squares")
        return solver.fit(ratings)

    with ThreadPoolExecutor(1) as threads:
        running: Future[Any] = threads.submit(fit)
        ended: dict[int, bool] = {}
        try:
            while wait([running], POLL_SECONDS).not_done:
                _note_ended(context.statusTracker(), ended)
                advance(iterations_in(sum(ended.values())))
        except BaseException:
            _stop(spark)  # or the thread would go on to the end
            raise
        return running.result()


def _note_ended(tracker: Any, ended: dict[int, bool]) -> None:
    """Note each job that has ended, and whether it is an aggregate: each computes Yᵀ Y, or Xᵀ X."""
    for job in tracker.getJobIdsForGroup(GROUP):
        told = None if job in ended else tracker.getJobInfo(job)
        if told is not None and told.status == "SUCCEEDED":
            stage = tracker.getStageInfo(max(told.stageIds))
            ended[job] = stage is not None and stage.name.startswith("aggregate at ALS")


@contextmanager
def _named_failures(prefix: str, code: TrainingCode, *more: type[Exception]) -> Iterator[None]:
    """Give Spark's errors a code and their first line; the rest is in its log."""
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException, *more) as error:
        cause = error.java_exception if isinstance(error, Py4JJavaError) else error
        told = str(cause).strip().partition("\n")[0]
        raise TrainingFailed(f"{prefix}{told or type(error).__name__}", code) from error
