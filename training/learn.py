"""Learning: from cells to factors, the metrics that they earn, and the gate's verdict on them.

Knows the order fit → evaluate → gate; must not know Kafka, the lock or the store. Two models are
fitted: the *trial* on the older part of each user's interactions, which is evaluated, and one on
all of them, which is published if the gate passes.

**The incumbent** is judged by what it serves, on held-out interactions that are new to it: neither
model has then learned from what it is asked for. This needs enough of them: `FEWEST_NEWER` users,
and an interval that decides or is no wider than the tolerance. A rerun on the same interactions has
none. Then the incumbent's *recipe* is judged: its parameters, fitted on the same older part. Its
published factors would not do there, for they have learned what is held out, and would win by
memory. The gate's check says which of the two it was.

**The trial begins at random**, even if what is published begins with the incumbent's factors, for
the same reason: see :mod:`training.warm`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.manifest import ColdStart, Gate, Parameters, WarmStart
from training.evaluation import (
    Judgement,
    Rows,
    Split,
    best_unseen,
    by_factors,
    by_popularity,
    evenly,
    judge,
    split,
    unknown_to,
)
from training.fit import Fit
from training.gate import (
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
from training.incumbent import Incumbent, Published, align
from training.matrix import Cells, Csr, Factors, csr, weights
from training.progress import Journal
from training.quality import Basis, Quality, measure
from training.warm import Warming, beginning

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


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What was judged, for those who want to look closer than the metrics do."""

    split: Split
    candidate: Judgement
    popularity: Judgement
    incumbent: Judgement | None
    quality: Quality


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What came out. ``factors`` is None if there was not enough to fit on.

    ``start`` is where their fit began; None: at random, as nothing else was asked for.
    """

    factors: Factors | None
    evaluation: Evaluation | None
    gate: Gate
    start: WarmStart | ColdStart | None = None

    @property
    def quality(self) -> Quality | None:
        """The metrics with their intervals; None if no user could be judged."""
        return self.evaluation.quality if self.evaluation else None

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics as the manifest names them; empty if no user could be judged."""
        return self.quality.metrics if self.quality else {}


def learn(
    cells: Cells,
    parameters: Parameters,
    incumbent: Incumbent | None,
    rules: Rules,
    fit: Fit,
    journal: Journal,
    warming: Warming | None = None,
) -> Learned:
    """Fit, evaluate and judge.

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
        How the fit of what is published may begin with the incumbent's factors; None: it may not.
    """
    weight = weights(cells, parameters)
    counts = Counts(*cells.shape, int((weight > 0).sum()))
    matrix = csr(cells, weight > 0, weight)
    factors: Factors | None = None
    evaluation: Evaluation | None = None
    published: Published | None = None
    start: WarmStart | ColdStart | None = None
    if passed(check_counts(counts, rules.limits)):
        halves = split(cells, weight, rules.holdout)
        fits = _Fits(rules.threads, journal)
        with journal.stage("fit"):
            if incumbent and incumbent.arrays:
                published = align(incumbent.arrays, cells)
            last = beginning(fit, parameters, warming, incumbent, published)
            start = last.start
            trial, factors = fits.in_a_row(
                _Asked(fit, halves.older, parameters),
                _Asked(last.fit, matrix, last.parameters),
                note=None if start is None else f"begins {start}",
            )
        with journal.stage("evaluate"):
            if passed(check_factors(trial, counts, parameters.factors)):
                case = _Case(cells, weight, parameters, halves, trial, fit)
                evaluation = _evaluate(case, incumbent, published, rules.limits.tolerance, fits)
    with journal.stage("gate"):
        gate = _gate(counts, parameters, factors, matrix, evaluation, incumbent, published, rules)
    return Learned(factors, evaluation, gate, start)


def _gate(
    counts: Counts,
    parameters: Parameters,
    factors: Factors | None,
    matrix: Csr,
    evaluation: Evaluation | None,
    incumbent: Incumbent | None,
    published: Published | None,
    rules: Rules,
) -> Gate:
    limits, quality = rules.limits, evaluation.quality if evaluation else None
    version, complaint = (incumbent.version, incumbent.complaint) if incumbent else (None, "")
    shapes = check_factors(factors, counts, parameters.factors)
    sound = factors if passed(shapes) else None
    checks = (
        *check_counts(counts, limits),
        *shapes,
        check_life(sound, matrix),
        *check_quality(quality, version, limits, complaint),
        *check_change(_change(sound, published, matrix), version, limits, complaint),
    )
    return decide(checks, accepted_open(quality, limits))


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """A trial model, and what it is judged by."""

    cells: Cells
    weight: NDArray[np.float32]
    parameters: Parameters
    halves: Split
    trial: Factors
    fit: Fit


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    fit: Fit
    matrix: Csr
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class _Fits:
    threads: int
    journal: Journal

    def in_a_row(self, *asked: _Asked, note: str | None = None) -> list[Factors]:
        """Fit each, reporting the iterations of all as one count, with the `note`."""
        total = sum(one.parameters.iterations for one in asked)
        made: list[Factors] = []
        before = 0
        for one in asked:
            advance = partial(self._advance, note, before, total)
            made.append(one.fit(one.matrix, one.parameters, self.threads, advance))
            before += one.parameters.iterations
        return made

    def _advance(self, note: str | None, before: int, total: int, done: int) -> None:
        self.journal.advance(before + done, total, note)


def _evaluate(
    case: _Case,
    incumbent: Incumbent | None,
    published: Published | None,
    tolerance: float,
    fits: _Fits,
) -> Evaluation | None:
    """Judge the trial beside popularity and, if there is one, the incumbent."""
    if published is not None:
        newer = unknown_to(published.known, published.knows, case.halves, case.cells, case.weight)
        if len(newer.users) >= FEWEST_NEWER:
            served = judge(published.score, newer)
            found = _side_by_side(case.trial, newer, served, "published", tolerance)
            if found is not None and _tells(found.quality, tolerance):
                return found
    recipe = None if incumbent is None else _judge_recipe(incumbent.parameters, case, fits)
    basis: Basis | None = None if incumbent is None else "recipe"
    return _side_by_side(case.trial, case.halves, recipe, basis, tolerance)


def _side_by_side(
    trial: Factors, by: Split, rival: Judgement | None, basis: Basis | None, tolerance: float
) -> Evaluation | None:
    candidate, popular = judge(by_factors(trial), by), judge(by_popularity(by.popular), by)
    if candidate is None or popular is None:
        return None
    quality = measure(candidate, popular, rival, basis, tolerance)
    return Evaluation(by, candidate, popular, rival, quality)


def _judge_recipe(parameters: Parameters, case: _Case, fits: _Fits) -> Judgement | None:
    """Fit the incumbent's parameters on the older part, and judge that."""
    if parameters == case.parameters:
        return judge(by_factors(case.trial), case.halves)  # the same fit, by its seed
    weight = weights(case.cells, parameters)
    older = csr(case.cells, ~case.halves.held & (weight > 0), weight)
    (factors,) = fits.in_a_row(_Asked(case.fit, older, parameters))
    return judge(by_factors(factors), case.halves)


def _tells(quality: Quality, tolerance: float) -> bool:
    """Tell whether the comparison decides, or would show a difference as large as the tolerance."""
    if quality.over_floor is None or quality.over_floor.bounds is None or not quality.incumbent:
        return False
    low, high = quality.over_floor.bounds
    fine = (high - low) / 2 <= max(tolerance, FINEST) * quality.incumbent.ndcg
    return fine or low > 0 or high < 0


def _change(factors: Factors | None, published: Published | None, matrix: Csr) -> Change | None:
    """Compare the lists of the model to be published with the incumbent's, for users of both."""
    if factors is None or published is None:
        return None
    users: Rows = evenly(np.flatnonzero(published.knows), COMPARED_USERS)
    ours, theirs = (
        best_unseen(score, users, matrix) for score in (by_factors(factors), published.score)
    )
    return change_of(ours, theirs, published.all_items, published.missing_items)
