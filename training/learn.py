"""Learning: from cells to factors, the metrics that they earn, and the gate's verdict on them.

Knows the order fit → evaluate → gate; must not know Kafka, the lock or the store. Two models are
fitted: one on the older part of each user's interactions, which is evaluated, and one on all of
them, which is published if the gate passes. The incumbent's recipe is a third (see
:mod:`training.evaluation`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from registry.manifest import Gate, Parameters
from training.evaluation import Metrics, Split, by_factors, by_popularity, judge, split
from training.fit import Fit
from training.gate import (
    Counts,
    Limits,
    Quality,
    check_counts,
    check_factors,
    check_quality,
    decide,
    passed,
)
from training.matrix import Cells, Csr, Factors, csr, weigh
from training.progress import Journal


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The version that is served now, and the parameters that its manifest tells."""

    version: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Rules:
    """How a run learns and judges: the gate's limits, the share held out, the fit's threads."""

    limits: Limits
    holdout: float
    threads: int


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What came out. ``factors`` is None if there was not enough to fit on."""

    factors: Factors | None
    metrics: dict[str, float]
    gate: Gate


def learn(
    cells: Cells,
    parameters: Parameters,
    incumbent: Incumbent | None,
    rules: Rules,
    fit: Fit,
    journal: Journal,
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
    """
    weights = weigh(cells.values, parameters)
    counts = Counts(*cells.shape, int((weights > 0).sum()))
    enough = check_counts(counts, rules.limits)
    factors: Factors | None = None
    quality: Quality | None = None
    if passed(enough):
        halves = split(cells, weights, rules.holdout)
        fits = _Fits(fit, rules.threads, journal)
        with journal.stage("fit"):
            trial, factors = fits.in_a_row(
                (halves.older, parameters), (csr(cells, weights > 0, weights), parameters)
            )
        with journal.stage("evaluate"):
            if passed(check_factors(trial, counts, parameters.factors)):
                candidate = judge(by_factors(trial), halves)
                popular = judge(by_popularity(halves.popular), halves)
                rival = _judge_recipe(incumbent, parameters, candidate, cells, halves, fits)
                quality = Quality(candidate, popular, rival)
    with journal.stage("gate"):
        gate = decide(
            (
                *enough,
                *check_factors(factors, counts, parameters.factors),
                *check_quality(quality, incumbent.version if incumbent else None, rules.limits),
            )
        )
    return Learned(factors, _named(quality), gate)


@dataclass(frozen=True, slots=True)
class _Fits:
    fit: Fit
    threads: int
    journal: Journal

    def in_a_row(self, *asked: tuple[Csr, Parameters]) -> list[Factors]:
        """Fit each, reporting the iterations of all as one count."""
        total = sum(parameters.iterations for _, parameters in asked)
        made: list[Factors] = []
        before = 0
        for weights, parameters in asked:
            advance = partial(self._advance, before, total)
            made.append(self.fit(weights, parameters, self.threads, advance))
            before += parameters.iterations
        return made

    def _advance(self, before: int, total: int, done: int) -> None:
        self.journal.advance(before + done, total)


def _judge_recipe(
    incumbent: Incumbent | None,
    parameters: Parameters,
    candidate: Metrics | None,
    cells: Cells,
    halves: Split,
    fits: _Fits,
) -> Metrics | None:
    """Fit the incumbent's parameters on the older part, and judge that."""
    if incumbent is None:
        return None
    if incumbent.parameters == parameters:
        return candidate  # the same fit, by its seed
    weights = weigh(cells.values, incumbent.parameters)
    older = csr(cells, ~halves.held & (weights > 0), weights)
    (factors,) = fits.in_a_row((older, incumbent.parameters))
    return judge(by_factors(factors), halves)


def _named(quality: Quality | None) -> dict[str, float]:
    """Return the metrics as the manifest names them, such as ``popularity_ndcg_at_10``."""
    if quality is None:
        return {}
    judged = {
        "": quality.candidate,
        "popularity_": quality.popularity,
        "incumbent_": quality.incumbent,
    }
    return {
        f"{whose}{name}_at_10": round(value, 6)
        for whose, metrics in judged.items()
        if metrics is not None
        for name, value in (
            ("ndcg", metrics.ndcg),
            ("hr", metrics.hr),
            ("coverage", metrics.coverage),
        )
    }
