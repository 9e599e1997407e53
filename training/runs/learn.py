"""Learning: from cells to factors, the metrics that they earn, and the gate's verdict on them.

Knows the order fit → evaluate → fit → gate; must not know Kafka, the lock or the store. Two models
are fitted: the *trial* on the older part of each user's interactions, which is evaluated, and one
on all of them, which is published if the gate passes.

**The trial decides first.** Counts and quality need nothing but it. If they do not pass, no second
model can: the run is refused without one, and the gate's other checks, shapes, life and changed
lists, are made of the trial, so that a refusal tells all that is wrong. Otherwise they are made of
what is published. What only the trial needs is given back before the second fit.

**The incumbent** is judged by what it serves, on held-out interactions that are new to it: neither
model has then learned from what it is asked for. This needs enough of them: `FEWEST_NEWER` users,
and an interval that decides or is no wider than the tolerance. A rerun on the same interactions has
none. Then the incumbent's *recipe* is judged: its parameters, fitted on the same older part. Its
published factors would not do there, for they have learned what is held out, and would win by
memory. The gate's check says which of the two it was.

**The trial begins at random**, for the same reason. What is published begins with the trial's
factors, or with the incumbent's: see :mod:`training.fitting.warm_start`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.versions.manifest import Parameters, Start, TrialStart, WarmStart
from registry.wire.gate_results import Check, Gate
from training.data.matrix import Cells, Csr, Factors, csr, weights
from training.fitting.als import Fit
from training.fitting.warm_start import Warming, first_values, shortened, start_of
from training.judging.findings import Evaluation, HeldOut, Learned
from training.judging.gate import (
    Change,
    Counts,
    Limits,
    accepted_open,
    change_of,
    check_change,
    check_counts,
    check_factors,
    check_life,
    check_quality,
    decide,
    passed,
)
from training.judging.holdout import Rows, Split, evenly, split, unknown_to
from training.judging.incumbent import Incumbent, Published, align
from training.judging.quality_estimates import Basis, Quality, measure
from training.judging.ranking_metrics import (
    Judgement,
    best_unseen,
    by_factors,
    by_popularity,
    judge,
)
from training.runs.progress import Journal

FEWEST_NEWER: Final = 100
"""Users without whom the incumbent is not judged by what it serves: of fewer, a handful decides."""

FINEST: Final = 0.05
"""Nor is it if the interval leaves the question open, and reaches further than the tolerance to
both sides; a tolerance below this share of its NDCG@10 does not ask for more precision."""

COMPARED_USERS: Final = 2_000
"""Users whose lists are compared with the incumbent's: the share of changed ones is then known to
two points."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a run learns and judges: the gate's limits, the share held out, the fit's threads."""

    limits: Limits
    holdout: float
    threads: int


def learn(
    cells: Cells,
    parameters: Parameters,
    incumbent: Incumbent | None,
    rules: Rules,
    fit: Fit,
    journal: Journal,
    warming: Warming | None = None,
) -> Learned:
    """Fit the trial, evaluate and judge it; if it may go on, fit what is published, and judge that.

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
    """
    weight = weights(cells, parameters)
    counts = Counts(*cells.shape, int((weight > 0).sum()))
    published = align(incumbent.arrays, cells) if incumbent and incumbent.arrays else None
    case = _Case(
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
class _Case:
    """What all steps know: what there is to learn from, beside what, and by what means."""

    cells: Cells
    weight: NDArray[np.float32]
    counts: Counts
    parameters: Parameters
    incumbent: Incumbent | None
    published: Published | None
    rules: Rules
    fit: Fit
    warming: Warming | None
    journal: Journal

    @property
    def start(self) -> Start | None:
        """Where the fit of what is published will begin."""
        if self.warming is None:
            return None
        return start_of(
            self.warming, self.parameters, self.incumbent, self.published, self.rules.holdout
        )

    def advance(self, start: Start | None, before: int, done: int) -> None:
        """Report the iterations of trial and published model as one count."""
        total = self.parameters.iterations + shortened(self.parameters, start).iterations
        self.journal.advance(before + done, total, None if start is None else f"begins {start}")


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """How the trial did. ``trial`` are its factors, if the next fit begins with them."""

    evaluation: Evaluation | None
    refused: Gate | None
    trial: Factors | None


def _try(case: _Case, start: Start | None) -> _Tried:
    """Fit the trial and judge it; what it alone needs is given back with the return."""
    with case.journal.stage("fit"):
        halves = split(case.cells, case.weight, case.rules.holdout)
        advance = partial(case.advance, start, 0)
        trial = case.fit(halves.older, case.parameters, case.rules.threads, advance)
    with case.journal.stage("evaluate"):
        sound = passed(check_factors(trial, case.counts, case.parameters.factors))
        evaluation = _evaluate(case, halves, trial) if sound else None
    if _may_go_on(case, evaluation):
        return _Tried(evaluation, None, trial if isinstance(start, TrialStart) else None)
    return _Tried(evaluation, _gate(case, trial, halves.older, evaluation), None)


def _fit_all(case: _Case, start: Start | None, trial: Factors | None) -> tuple[Factors, Csr]:
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
        told = shortened(case.parameters, start)
        return fit(matrix, told, case.rules.threads, advance), matrix


def _may_go_on(case: _Case, evaluation: Evaluation | None) -> bool:
    """Tell whether the trial is as good as the gate asks; only then a second model can pass."""
    quality = evaluation.quality if evaluation else None
    accepted = accepted_open(quality, case.rules.limits)
    return decide(_quality_checks(case, quality), accepted).passed


def _gate(case: _Case, factors: Factors | None, matrix: Csr, evaluation: Evaluation | None) -> Gate:
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


def _quality_checks(case: _Case, quality: Quality | None) -> tuple[Check, ...]:
    return check_quality(quality, *_told(case.incumbent, case.rules.limits))


def _told(incumbent: Incumbent | None, limits: Limits) -> tuple[str | None, Limits, str]:
    """Return what the gate's comparisons are told: version, limits, complaint."""
    return (incumbent.version, limits, incumbent.complaint) if incumbent else (None, limits, "")


def _evaluate(case: _Case, halves: Split, trial: Factors) -> Evaluation | None:
    """Judge the trial beside popularity and, if there is one, the incumbent."""
    published, incumbent, tolerance = case.published, case.incumbent, case.rules.limits.tolerance
    if published is not None:
        newer = unknown_to(published.known, published.knows, halves, case.cells, case.weight)
        if len(newer.users) >= FEWEST_NEWER:
            served = judge(published.score, newer)
            found = _side_by_side(trial, newer, served, "published", tolerance)
            if found is not None and _tells(found.quality, tolerance):
                return found
    recipe = None if incumbent is None else _judge_recipe(incumbent.parameters, case, halves, trial)
    basis: Basis | None = None if incumbent is None else "recipe"
    return _side_by_side(trial, halves, recipe, basis, tolerance)


def _side_by_side(
    trial: Factors, by: Split, rival: Judgement | None, basis: Basis | None, tolerance: float
) -> Evaluation | None:
    candidate, popular = judge(by_factors(trial), by), judge(by_popularity(by.popular), by)
    if candidate is None or popular is None:
        return None
    quality = measure(candidate, popular, rival, basis, tolerance)
    held_out = HeldOut(by.held, by.relevant, by.users, by.popular)
    return Evaluation(held_out, candidate, popular, rival, quality)


def _judge_recipe(
    parameters: Parameters, case: _Case, halves: Split, trial: Factors
) -> Judgement | None:
    """Fit the incumbent's parameters on the older part, and judge that."""
    if parameters == case.parameters:
        return judge(by_factors(trial), halves)  # the same fit, by its seed
    weight = weights(case.cells, parameters)
    older = csr(case.cells, ~halves.held & (weight > 0), weight)

    def advance(done: int) -> None:
        case.journal.advance(done, parameters.iterations)

    return judge(by_factors(case.fit(older, parameters, case.rules.threads, advance)), halves)


def _tells(quality: Quality, tolerance: float) -> bool:
    """Tell whether the comparison decides, or would show a difference as large as the tolerance."""
    if quality.over_floor is None or quality.over_floor.bounds is None or not quality.incumbent:
        return False
    low, high = quality.over_floor.bounds
    fine = (high - low) / 2 <= max(tolerance, FINEST) * quality.incumbent.ndcg
    return fine or low > 0 or high < 0


def _change(case: _Case, factors: Factors | None) -> Change | None:
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
