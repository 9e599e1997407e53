"""Parameters of a run that depend on the data, resolved before the fit.

Knows the order: transforms, minimums, sizes, and last the regularization by trial. Must not know
Kafka, the lock or the store.

**The regularization by trial.** The rule of :mod:`training.fitting.size_rules` is off by a factor
that differs from one data set to the next (docs/decisions/0010-factors-by-size.md). So if it is
unset, multiples of it are tried on the trial model's training data, split once more in the same
way; the gate's held-out interactions stay unseen. The fits follow a *path* (Friedman, Hastie,
Tibshirani 2010): from the weakest regularization up, each starts from the factors of the one before
it. That takes few iterations; with strong regularization, factors that start at random would end
near zero, because they have not grown yet. The path ends when `PATIENCE` in a row were worse than
the best.

With many pairs, some of the users are enough to choose by, drawn by the seed. So its cost is
bounded. What is carried over is the multiple of what the rule says of these users, not the value:
their items have fewer users each, so there is less noise to cut off.
"""

from __future__ import annotations

from dataclasses import replace as replace_fields
from functools import partial
from itertools import compress
from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from registry.versions.manifest import Parameters
from training.data.cell_weights import settle_transforms, weighted, weights
from training.data.matrix import Cells, Factors, csr, only, starts_of
from training.data.minimums import trim
from training.fitting.als import fit_als
from training.fitting.size_rules import BY_SIZE, rounded, settle_sizes
from training.judging.holdout import Split, inner_split
from training.judging.ranking_metrics import by_factors, judge
from training.runs.learning_case import RunRules
from training.runs.progress import Journal

TIMES: Final = (0.6, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5)
"""What is tried, in terms of what the rule says, ascending. With 3.2 times, a trial, which starts
from random factors, may end near zero."""

PATIENCE: Final = 2
"""So many in a row that are worse than the best end the path."""

FIRST_ITERATIONS: Final = 6
NEXT_ITERATIONS: Final = 2
"""Of the first fit of the path, and of each further one: 10 to 18 in all, on two thirds of the
data. A run does 18 besides, on more."""

FEWEST_USERS: Final = 100
"""Judged users without whom the rule stands: of fewer, luck would decide."""

MOST_PAIRS: Final = 1_000_000
"""Pairs to choose by, at most: their path takes some 10 s of CPU time with 128 factors."""


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
    few users to judge by.
    """
    cells, parameters = settled
    if asked.regularization != BY_SIZE:
        return parameters
    weight, by_rule = weights(cells, parameters), parameters
    if len(cells.item) > MOST_PAIRS:
        cells, weight = _some_users(cells, weight, parameters.seed)
        left_open = replace(parameters, regularization=BY_SIZE)
        by_rule = settle_sizes(left_open, csr(cells, weight > 0, weight))
    by = inner_split(cells, weight, rules.holdout, rules.order, parameters.seed)
    if len(by.users) < FEWEST_USERS:
        return parameters
    with journal.stage("fit"):
        times = _best_of_path(by_rule, by, rules.threads, journal)
    return replace(parameters, regularization=rounded(times * parameters.regularization))


def _best_of_path(by_rule: Parameters, by: Split, threads: int, journal: Journal) -> float:
    """Return which of `TIMES` gives the highest NDCG@10, of equal ones the least."""
    total = FIRST_ITERATIONS + NEXT_ITERATIONS * (len(TIMES) - 1)
    factors: Factors | None = None
    before, worse, best = 0, 0, (-1.0, TIMES[0])
    for times in TIMES:
        iterations = NEXT_ITERATIONS if before else FIRST_ITERATIONS
        regularization = rounded(times * by_rule.regularization)
        tried = replace(by_rule, regularization=regularization, iterations=iterations)
        advance = partial(_advance, journal, total, before)
        factors = fit_als(by.older, tried, threads, advance, factors)
        before += iterations
        found = judge(by_factors(factors), by)
        assert found is not None  # there are users
        if found.metrics.ndcg > best[0]:
            worse, best = 0, (found.metrics.ndcg, times)
        elif (worse := worse + 1) == PATIENCE:
            break
    return best[1]


def _some_users(
    cells: Cells, weight: NDArray[np.float32], seed: int
) -> tuple[Cells, NDArray[np.float32]]:
    """Return the cells of users drawn at random, `MOST_PAIRS` at most, and their weights."""
    pairs = np.diff(cells.indptr)
    drawn = np.random.default_rng(seed).permutation(len(pairs))
    kept = np.zeros(len(pairs), np.bool_)
    kept[drawn[np.cumsum(pairs[drawn]) <= MOST_PAIRS]] = True
    chosen = np.repeat(kept, pairs)
    some = only(cells, chosen)
    users = tuple(compress(cells.user_ids, kept))
    return (
        replace_fields(some, user_ids=users, indptr=starts_of(pairs[kept]), undone={}),
        weight[chosen],
    )


def _advance(journal: Journal, total: int, before: int, done: int) -> None:
    journal.advance(before + done, total, "searches for the best regularization")
