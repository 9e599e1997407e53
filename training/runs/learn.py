"""Learning: from cells to factors, their metrics, and the gate's verdict on them.

Knows the order fit → evaluate → fit → gate; must not know Kafka, the lock or the store. Two models
are fitted: the *trial* on the older part of each user's interactions, which is evaluated, and one
on all of them, which is published if the gate passes.

**The trial decides first.** Counts and quality depend on it alone. If they do not pass, a second
model cannot help: the run is refused without one, and the gate's other checks (shapes, dead
factors, changed lists) are run on the trial, so that a refusal lists everything that is wrong.
Otherwise they are run on the model to be published. What only the trial needs is freed before the
second fit.

**The trial starts at random**, so that nothing leaks into it. The published fit starts from the
trial's factors, or from the incumbent's: see :mod:`training.fitting.warm_start`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from registry.versions.manifest import Parameters, Start, TrialStart, WarmStart
from registry.wire.training_records.data_report import DataReport
from registry.wire.training_records.gate_results import Check, Gate
from training.data.cell_weights import weights
from training.data.matrix import Cells, Csr, Factors, csr
from training.fitting.als import Fit
from training.fitting.warm_start import Warming, first_values, shortened
from training.judging.comparison_checks import (
    ServedChange,
    change_of,
    check_change,
    check_quality,
)
from training.judging.findings import Evaluation, Learned
from training.judging.gate import GateLimits, accepted_open, decide, passed
from training.judging.holdout import Rows, evenly, split
from training.judging.incumbent import Incumbent, align
from training.judging.model_checks import Counts, check_counts, check_factors, check_life
from training.judging.plausibility import check_plausibility
from training.judging.quality_estimates import Quality
from training.judging.ranking_metrics import best_unseen, by_factors
from training.runs.evaluation import evaluate
from training.runs.learning_case import Case, RunRules
from training.runs.progress import Journal

COMPARED_USERS: Final = 2_000
"""Users whose lists are compared with the incumbent's: the share of changed ones is then known to
two points."""


def learn(
    cells: Cells,
    parameters: Parameters,
    incumbent: Incumbent | None,
    rules: RunRules,
    fit: Fit,
    journal: Journal,
    warming: Warming | None = None,
    report: DataReport | None = None,
) -> Learned:
    """Fit the trial, evaluate and judge it; if it passes, fit the published model, and judge that.

    Parameters
    ----------
    cells
        The training set.
    parameters
        Of the candidate.
    incumbent
        What it must not be much worse than; None if there is none.
    rules
        Limits, share held out, threads.
    fit
        What makes the factors.
    journal
        Told of each stage and iteration.
    warming
        What the fit of what is published may begin with; None: it begins at random.
    report
        What there is in the snapshot, for the gate's words; None: nobody counted.
    """
    weight = weights(cells, parameters)
    pairs, events = (report.pairs, report.kept) if report else (0, 0)
    counts = Counts(*cells.shape, int((weight > 0).sum()), len(cells.item), pairs, events)
    published = align(incumbent.arrays, cells) if incumbent and incumbent.arrays else None
    case = Case(
        cells, weight, counts, parameters, incumbent, published, rules, fit, warming, journal
    )
    if not passed(check_counts(counts, rules.limits)):
        return Learned(None, None, _gate(case, None, csr(cells, weight > 0), None))
    start = case.start
    tried = _try(case, start)
    if tried.refused is not None:
        return Learned(None, tried.evaluation, tried.refused)
    factors, matrix = _fit_all(case, start, tried.trial)
    return Learned(factors, tried.evaluation, _gate(case, factors, matrix, tried.evaluation), start)


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """How the trial did. ``trial`` are its factors, if the next fit begins with them."""

    evaluation: Evaluation | None
    refused: Gate | None
    trial: Factors | None


def _try(case: Case, start: Start | None) -> _Tried:
    """Fit the trial and judge it; what it alone needs is given back with the return."""
    with case.journal.stage("fit"):
        rules, seed = case.rules, case.parameters.seed
        halves = split(case.cells, case.weight, rules.holdout, rules.order, seed)
        advance = partial(case.advance, start, 0)
        trial = case.fit(halves.older, case.parameters, case.rules.threads, advance)
    with case.journal.stage("evaluate"):
        sound = passed(check_factors(trial, case.counts, case.parameters.factors))
        evaluation = evaluate(case, halves, trial) if sound else None
    if _may_go_on(case, evaluation):
        return _Tried(evaluation, None, trial if isinstance(start, TrialStart) else None)
    return _Tried(evaluation, _gate(case, trial, halves.older, evaluation), None)


def _fit_all(case: Case, start: Start | None, trial: Factors | None) -> tuple[Factors, Csr]:
    """Fit what is published on all interactions; return these as well."""
    with case.journal.stage("fit"):
        matrix = csr(case.cells, case.weight > 0, case.weight)
        first, fit = trial, case.fit
        if isinstance(start, WarmStart):
            assert case.published is not None  # or the decision would have been another
            first = first_values(case.published, case.parameters)
        if first is not None:
            assert case.warming is not None
            assert case.warming.fit is not None
            fit = partial(case.warming.fit, start=first)
        advance = partial(case.advance, start, case.parameters.iterations)
        shorter = shortened(case.parameters, start)
        return fit(matrix, shorter, case.rules.threads, advance), matrix


def _may_go_on(case: Case, evaluation: Evaluation | None) -> bool:
    """Tell whether the trial is as good as the gate asks; only then a second model can pass."""
    quality = evaluation.quality if evaluation else None
    accepted = accepted_open(quality, case.rules.limits)
    return decide(_quality_checks(case, quality), accepted).passed


def _gate(case: Case, factors: Factors | None, matrix: Csr, evaluation: Evaluation | None) -> Gate:
    """Judge the model that was fitted on `matrix`; the quality is always the trial's."""
    with case.journal.stage("gate"):
        limits, quality = case.rules.limits, evaluation.quality if evaluation else None
        shapes = check_factors(factors, case.counts, case.parameters.factors)
        sound = factors if passed(shapes) else None
        checks = (
            *check_counts(case.counts, limits),
            *shapes,
            check_life(sound, matrix),
            *_quality_checks(case, quality),
            *check_change(_change(case, sound), *_told(case.incumbent, limits)),
        )
        return decide(checks, accepted_open(quality, limits))


def _quality_checks(case: Case, quality: Quality | None) -> tuple[Check, ...]:
    compared = check_quality(quality, *_told(case.incumbent, case.rules.limits))
    return *compared, check_plausibility(quality)


def _told(incumbent: Incumbent | None, limits: GateLimits) -> tuple[str | None, GateLimits, str]:
    """Return what the gate's comparisons are told: version, limits, complaint."""
    return (incumbent.version, limits, incumbent.complaint) if incumbent else (None, limits, "")


def _change(case: Case, factors: Factors | None) -> ServedChange | None:
    """Compare a model's lists with the incumbent's, for users of both."""
    published = case.published
    if factors is None or published is None:
        return None
    users: Rows = evenly(np.flatnonzero(published.knows), COMPARED_USERS)
    seen = csr(case.cells, case.weight > 0)
    ours, theirs = (
        best_unseen(score, users, seen) for score in (by_factors(factors), published.score)
    )
    return change_of(ours, theirs, published.all_items, published.missing_items)
