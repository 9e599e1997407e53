"""Parameters of a run that depend on the data, resolved before the fit.

Knows the order: transforms, minimums, sizes, and last the regularization by trial. Must not know
Kafka, the lock or the store.

**The regularization by trial.** The rule of :mod:`training.fitting.size_rules` is off by a factor
that differs from one data set to the next (docs/decisions/0010-factors-by-size.md). So if it is
unset, a few multiples of it are tried on the trial model's training data, split once more in the
same way; the gate's held-out interactions stay unseen. The fits follow a *path* (Friedman, Hastie,
Tibshirani 2010): from the weakest regularization up, each starts from the factors of the one before
it. That takes few iterations; with strong regularization, factors that start at random would end
near zero, because they have not grown yet.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from msgspec.structs import replace

from registry.versions.manifest import Parameters
from training.data.cell_weights import settle_transforms, weighted, weights
from training.data.matrix import Cells, Factors
from training.data.minimums import trim
from training.fitting.als import fit_als
from training.fitting.size_rules import BY_SIZE, rounded, settle_sizes
from training.judging.holdout import Split, inner_split
from training.judging.ranking_metrics import by_factors, judge
from training.runs.learning_case import RunRules
from training.runs.progress import Journal

TIMES: Final = (0.6, 0.8, 1.0, 1.5, 2.0)
"""What is tried, in terms of what the rule says, ascending."""

FIRST_ITERATIONS: Final = 6
NEXT_ITERATIONS: Final = 2
"""Of the first fit of the path, and of each further one: 14 in all, on two thirds of the data. A
run does 18 besides, on more."""

FEWEST_USERS: Final = 100
"""Judged users without whom the rule stands: of fewer, luck would decide."""

MOST_PAIRS: Final = 1_000_000
"""Pairs beyond which the rule stands: the fits take up to twice as long, and more memory."""


class Settled(NamedTuple):
    """What is learned from, and by which parameters: no transform is ``auto``, no number open."""

    cells: Cells
    parameters: Parameters


def settle(asked: Parameters, cells: Cells) -> Settled:
    """Return what the rules make of the parameters, and the cells that the minimums leave."""
    parameters = settle_transforms(asked, cells)
    left = trim(cells, parameters)
    return Settled(left, settle_sizes(parameters, weighted(left, parameters)))


def choose_regularization(
    asked: Parameters, settled: Settled, rules: RunRules, journal: Journal
) -> Parameters:
    """Return the parameters with the best regularization of the path, if it was left open.

    Parameters
    ----------
    asked
        As the settings have them.
    settled
        What became of them by rule.
    rules
        How the trial model will be judged.
    journal
        Told of the iterations, as of a part of the stage ``fit``; not if nothing is tried.

    Returns
    -------
    The settled parameters as they are, if the settings name a regularization, or if there are too
    few users to judge by, or too many pairs.
    """
    cells, parameters = settled
    if asked.regularization != BY_SIZE or len(cells.item) > MOST_PAIRS:
        return parameters
    weight = weights(cells, parameters)
    by = inner_split(cells, weight, rules.holdout, rules.order, parameters.seed)
    if len(by.users) < FEWEST_USERS:
        return parameters
    with journal.stage("fit"):
        return _best_of_path(parameters, by, rules.threads, journal)


def _best_of_path(parameters: Parameters, by: Split, threads: int, journal: Journal) -> Parameters:
    """Return the parameters with the highest NDCG@10, of equal ones the least regularized."""
    total = FIRST_ITERATIONS + NEXT_ITERATIONS * (len(TIMES) - 1)
    factors: Factors | None = None
    before, best = 0, (-1.0, parameters)
    for times in TIMES:
        tried = replace(parameters, regularization=rounded(times * parameters.regularization))
        iterations = NEXT_ITERATIONS if before else FIRST_ITERATIONS
        advance = partial(_advance, journal, total, before)
        short = replace(tried, iterations=iterations)
        factors = fit_als(by.older, short, threads, advance, factors)
        before += iterations
        found = judge(by_factors(factors), by)
        assert found is not None  # there are users
        if found.metrics.ndcg > best[0]:
            best = (found.metrics.ndcg, tried)
    return best[1]


def _advance(journal: Journal, total: int, before: int, done: int) -> None:
    journal.advance(before + done, total, "searches for the best regularization")
