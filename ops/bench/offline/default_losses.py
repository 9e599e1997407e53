"""``python -m ops.bench.offline.default_losses [SHAPE ...]``: what our regularization costs.

Needs no Kafka. Made-up users with known tastes, in several shapes: sparse, dense, counts, a long
tail, more than a million pairs. For each, NDCG@10 on the gate's split by the rule alone, by the
choice that a run makes, and by the best of a grid, and the paired difference of choice and best.
The best is chosen on the very interactions that it is judged by, so it is lucky.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from ops.bench.quality import default_parameters, difference
from ops.views import terminal
from registry.settings import read_settings
from registry.versions.manifest import Parameters
from training.data.cell_weights import weights
from training.data.matrix import Cells, starts_of
from training.fitting.als import fit_als, one_blas_thread
from training.fitting.size_rules import rounded
from training.judging.holdout import Split, split
from training.judging.ranking_metrics import Judgement, by_factors, judge
from training.runs.regularization_choice import settle
from training.runs.run_rules import parameters_of

GRID: Final = (0.6, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2)
"""In terms of the rule's value; each is fitted from random factors, as a run's trial is."""

MORE: Final = 1.6
"""Draws for each item that a user has: some are of the same item again."""


@dataclass(frozen=True, slots=True)
class DataShape:
    """Users who like a few topics.

    Parameters
    ----------
    users, items, topics
        How many; each item is of one topic.
    per_user
        Median number of items of a user.
    tastes
        Topics that a user likes, by shares drawn evenly.
    own
        Share of a user's items that are of these topics; the others go by popularity.
    exponent
        The n-th most popular item is drawn in proportion to n to the minus this.
    has_counts
        Whether events are counts: somewhat larger for the topics that a user likes.
    """

    users: int
    items: int
    topics: int
    per_user: int
    tastes: int = 2
    own: float = 0.8
    exponent: float = 0.6
    has_counts: bool = False


SHAPES: Final = {
    "dense": DataShape(1_500, 600, 12, 80),
    "counts": DataShape(3_000, 2_500, 30, 40, has_counts=True),
    "sparse": DataShape(6_000, 8_000, 60, 10),
    "long tail": DataShape(4_000, 12_000, 100, 30, exponent=1.0),
    "popular": DataShape(4_000, 2_000, 10, 30, own=0.4, exponent=1.0),
    "1.4 million": DataShape(25_000, 6_000, 60, 45, tastes=3),
    "3 million": DataShape(60_000, 12_000, 100, 45, tastes=3),
}


def made_up_cells(shape: DataShape, seed: int = 1) -> Cells:
    """Return the training set that such users make; the same for the same seed.

    >>> made_up_cells(DataShape(30, 40, 4, 6)).shape[0]
    30
    """
    random = np.random.default_rng(seed)
    topic = random.integers(0, shape.topics, shape.items)
    share = 1.0 / (1 + random.permutation(shape.items)) ** shape.exponent
    wanted = np.exp(random.normal(np.log(shape.per_user), 0.7, shape.users)).astype(int)
    wanted = np.clip(wanted, 3, shape.items // 3)
    by_topic = [np.flatnonzero(topic == each) for each in range(shape.topics)]
    bounds = [np.cumsum(share[rows]) / share[rows].sum() for rows in by_topic]
    of_all = np.cumsum(share) / share.sum()
    rows, values = [], []
    for most in wanted:
        likes = random.choice(shape.topics, min(shape.tastes, shape.topics), replace=False)
        draws = int(most * MORE) + 4
        drawn = np.minimum(np.searchsorted(of_all, random.random(draws)), shape.items - 1)
        liked = random.choice(likes, draws, p=random.dirichlet(np.ones(len(likes))))
        for each in likes:
            own = (liked == each) & (random.random(draws) < shape.own)
            if len(by_topic[each]):
                place = np.searchsorted(bounds[each], random.random(int(own.sum())))
                drawn[own] = by_topic[each][np.minimum(place, len(by_topic[each]) - 1)]
        rows.append(np.sort(_first_of(drawn, most)))
        values.append(_values(shape, np.isin(topic[rows[-1]], likes), random))
    item = np.concatenate(rows)
    named, item = np.unique(item, return_inverse=True)
    return Cells(
        user_ids=tuple(range(shape.users)),
        item_ids=tuple(named.tolist()),
        titles=(None,) * len(named),
        indptr=starts_of(np.array([len(own) for own in rows])),
        item=item.astype(np.int32),
        time=np.zeros(len(item)),
        values={"watch": np.concatenate(values)},
        newest=0.0,
    )


def _first_of(drawn: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the different ones that were drawn first."""
    different, first = np.unique(drawn, return_index=True)
    return different[np.argsort(first)][:most]


def _values(
    shape: DataShape, is_liked: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.float32]:
    if not shape.has_counts:
        return np.ones(len(is_liked), np.float32)
    drawn = np.exp(random.normal(np.log(20) + 1.2 * is_liked, 1.5)).round() + 1
    counts: NDArray[np.float32] = drawn.astype(np.float32)
    return counts


def main() -> None:
    """Print a row for each shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"of {', '.join(SHAPES)}")
    chosen = parser.parse_args().shapes or list(SHAPES)
    if unknown := [name for name in chosen if name not in SHAPES]:
        parser.error(f"{unknown}: not one of {', '.join(SHAPES)}")
    columns = ("", "pairs #", "rule #", "chosen #", "best #", "chosen over best #", "choice, s #")
    with one_blas_thread():
        rows = [_row(name, made_up_cells(SHAPES[name])) for name in chosen]
    terminal.out.print(terminal.grid(columns, rows))


def _row(name: str, cells: Cells) -> tuple[str, ...]:
    settings, began = read_settings({}), time.process_time()
    chosen = default_parameters(cells)
    seconds = time.process_time() - began
    by_rule = settle(parameters_of(settings), cells).parameters
    halves = split(cells, weights(cells, by_rule), settings.retrain_holdout)  # by time, all equal
    tried = [
        replace(by_rule, regularization=rounded(times * by_rule.regularization)) for times in GRID
    ]
    by_value = {each.regularization: each for each in (*tried, by_rule, chosen)}
    found = {value: _judged(parameters, halves) for value, parameters in by_value.items()}
    best = max(found, key=lambda regularization: _ndcg(found[regularization]))
    ours = found[chosen.regularization]
    lost = difference(ours, found[best], "ndcg")
    return (
        name,
        f"{len(cells.item):,}",
        f"{_ndcg(found[by_rule.regularization]):.4f} ({by_rule.regularization:g})",
        f"{_ndcg(ours):.4f} ({chosen.regularization:g})",
        f"{_ndcg(found[best]):.4f} ({best:g})",
        f"{lost:+.4f}, {lost.value / _ndcg(found[best]):+.1%}",
        f"{seconds:.1f}",
    )


def _judged(parameters: Parameters, halves: Split) -> Judgement:
    found = judge(by_factors(fit_als(halves.older, parameters, 1, lambda _done: None)), halves)
    assert found is not None  # each shape has users to judge
    return found


def _ndcg(found: Judgement) -> float:
    return found.metrics.ndcg


if __name__ == "__main__":
    main()
