"""A run: lock → snapshot → fit → evaluate → gate → publish.

Knows the order of the stages and what a run's end looks like; must not know how a stage does its
work. A run that does not publish leaves the registry as it was: publication is the last thing that
happens, and the store makes a version visible in one step.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime

import numpy as np
from msgspec.structs import replace

from registry.artifact import ModelArrays
from registry.errors import RecstreamError
from registry.manifest import Parameters
from registry.records import TrainingResult
from registry.settings import Settings
from registry.store import Description, store_of
from training.fit import Fit, fit_als, one_blas_thread
from training.gate import Limits, refusal
from training.learn import Incumbent, Learned, Rules, learn
from training.lock import training_lock
from training.matrix import Cells, Factors, csr, popularity, weigh
from training.progress import Journal, Report
from training.provenance import code_sha
from training.snapshot import Snapshot, read_snapshot


def parameters_of(settings: Settings) -> Parameters:
    """Return the parameters that `settings` give a run."""
    return Parameters(
        factors=settings.retrain_factors,
        iterations=settings.retrain_iterations,
        regularization=settings.retrain_regularization,
        alpha=settings.retrain_alpha,
        seed=settings.retrain_seed,
        weight_watch=settings.retrain_weight_watch,
        weight_click=settings.retrain_weight_click,
        rating_floor=settings.retrain_rating_floor,
    )


def rules_of(settings: Settings) -> Rules:
    """Return how `settings` have a run learn and judge."""
    limits = Limits(
        min_users=settings.retrain_min_users,
        min_items=settings.retrain_min_items,
        min_interactions=settings.retrain_min_interactions,
        tolerance=settings.retrain_tolerance,
    )
    return Rules(limits, settings.retrain_holdout, settings.retrain_threads)


def train(
    settings: Settings,
    parameters: Parameters,
    *,
    run_id: str,
    incumbent: str | None,
    report: Report,
    created_by: str,
    fit: Fit = fit_als,
) -> TrainingResult:
    """Learn one version from what is on the interaction topic now, and publish it if it is good.

    Parameters
    ----------
    settings
        Broker, topics, registry and the gate's limits.
    parameters
        Of the fit, and the mapping of events to weights.
    run_id
        Goes into every line of progress and into the result.
    incumbent
        The version that is served now; None if there is none.
    report
        Receives the progress. What it raises ends the run.
    created_by
        Who asked for the run; goes into the manifest.
    fit
        What makes the factors.

    Returns
    -------
    `published`, or `refused` with the checks that did not pass, or `failed` with the code and
    message of the error; the latter two leave the registry as it was.
    """
    journal = Journal(run_id, report)
    try:
        return _train(settings, parameters, incumbent, created_by, fit, journal)
    except RecstreamError as error:
        return TrainingResult(
            run_id,
            "failed",
            code=error.code,
            reason=str(error),
            stage_seconds=journal.stage_seconds,
        )


def _train(
    settings: Settings,
    parameters: Parameters,
    incumbent: str | None,
    created_by: str,
    fit: Fit,
    journal: Journal,
) -> TrainingResult:
    store = store_of(settings)
    served = Incumbent(incumbent, store.manifest(incumbent).parameters) if incumbent else None
    with ExitStack() as held:
        held.enter_context(one_blas_thread())
        with journal.stage("lock"):
            lock = held.enter_context(training_lock(settings))
        journal.check_each_step(lock.require)
        with journal.stage("snapshot"):
            snapshot = read_snapshot(settings, journal.advance)
            journal.advance(1, 1, _summary(snapshot))
        learned = learn(snapshot.cells, parameters, served, rules_of(settings), fit, journal)
        ended = TrainingResult(
            journal.run_id,
            "refused",
            code="gate",
            reason=refusal(learned.gate),
            gate=learned.gate,
            metrics=learned.metrics,
            snapshot=snapshot.described,
            stage_seconds=journal.stage_seconds,
        )
        if learned.factors is None or not learned.gate.passed:
            return ended
        with journal.stage("publish"):
            arrays = _arrays(snapshot.cells, learned.factors, parameters)
            description = _description(settings, parameters, created_by, snapshot, learned)
            lock.confirm()
            version = store.publish(arrays, description).version
        return replace(ended, status="published", version=version, code=None, reason=None)


def _arrays(cells: Cells, factors: Factors, parameters: Parameters) -> ModelArrays:
    seen = csr(cells, np.ones(len(cells.user), np.bool_))
    return ModelArrays(
        user_factors=np.ascontiguousarray(factors.users),
        item_factors=np.ascontiguousarray(factors.items),
        user_ids=list(cells.user_ids),
        item_ids=list(cells.item_ids),
        seen_indptr=seen.indptr,
        seen_items=seen.indices,
        popularity=popularity(cells, weigh(cells.values, parameters) > 0),
        titles=list(cells.titles),
    )


def _description(
    settings: Settings,
    parameters: Parameters,
    created_by: str,
    snapshot: Snapshot,
    learned: Learned,
) -> Description:
    return Description(
        model_name=settings.model_name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        created_by=created_by,
        git_sha=code_sha(settings),
        image_digest=settings.image_digest,
        data_snapshot=snapshot.described,
        parameters=parameters,
        metrics=learned.metrics,
        gate=learned.gate,
    )


def _summary(snapshot: Snapshot) -> str:
    described = snapshot.described
    size = (
        f"{described.interactions} interactions of {described.users} users "
        f"with {described.items} items"
    )
    if not snapshot.unusable:
        return size
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(snapshot.unusable.items()))
    return f"{size}; not usable: {reasons}"
