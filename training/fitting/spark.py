r"""The fit past one machine: alternating least squares by Spark.

Knows Spark's ALS; :mod:`training.fitting.spark_session` starts and stops Spark. Must not know
Kafka, events, ids or what the factors are used for: it is a :data:`training.fitting.als.Fit` except
for its first argument, so split, gate, manifest and artifact are the same, and a worker cannot tell
which backend fitted its version.

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
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final

import numpy as np

from registry.error_codes import TrainingCode
from registry.versions.manifest import Parameters
from training.data.matrix import Csr, Factors
from training.fitting.spark_session import (
    Cluster,
    named_failures,
    require_spark,
    spark_session,
    stop,
)
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

GROUP: Final = "recstream fit"


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
    require_spark()
    with (
        named_failures("", TrainingCode.SPARK_FAILED),
        staged(weights, cluster.staging) as staging,
        spark_session(cluster, threads) as spark,
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
    users, items = weights.filled
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
            stop(spark)  # or the thread would go on to the end
            raise
        return running.result()


def _note_ended(tracker: Any, ended: dict[int, bool]) -> None:
    """Note each job that has ended, and whether it is an aggregate: each computes Yᵀ Y, or Xᵀ X."""
    for job in tracker.getJobIdsForGroup(GROUP):
        job_info = None if job in ended else tracker.getJobInfo(job)
        if job_info is not None and job_info.status == "SUCCEEDED":
            stage = tracker.getStageInfo(max(job_info.stageIds))
            ended[job] = stage is not None and stage.name.startswith("aggregate at ALS")
