"""Fold-in: what it is worth to users whom no model knows, and what it costs.

``python -m ops.bench.fold_in [--data FILE] [--stronger FACTOR]`` needs no Kafka. It prints, by the
number of a new user's first interactions, NDCG@10 of popularity, of fold-in and of a full
retraining (`ops.bench.offline.left_out_users` has the protocol); hit rates with new items that no
model knows, with and without their overlay (`ops.bench.offline.left_out_items`); and the CPU time
of a fold-in of 20 items × 64 factors beside `implicit`'s ``recalculate_user``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ops.bench.offline.left_out_items import NewItemLists, compare_new_items
from ops.bench.offline.left_out_users import NEXT, JudgedLists, Lists, compare
from ops.bench.quality import cells_of_file, default_parameters, shipped_cells
from ops.views import terminal
from registry.errors import ConfigurationError
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.row_solver import Entries, RowSolver
from training.fitting.als import one_blas_thread
from training.judging.bootstrap import bootstrap
from training.judging.quality_estimates import Estimate

SEED: Final = 42
BETTER_AT: Final = 5
"""First interactions from which fold-in must be better than popularity."""

AS_GOOD_AT: Final = 20
SHARE_BAR: Final = 0.9
"""First interactions from which it must earn this share of a full retraining's NDCG@10."""

USERS, ITEMS, FACTORS, LENGTHS = 1_024, 20_000, 64, (3, 5, 10, 20, 32, 50, 100, 200)
BARRED: Final = 20
MICROSECONDS_BAR: Final = 60.0
ROUNDS: Final = 7


def main() -> None:
    """Print both tables, and what is met."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.fold_in", description=__doc__)
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="interactions, in a format that ingest reads"
    )
    parser.add_argument(
        "--stronger",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="multiply the regularization of the fold-in, not of the fits (default: 1)",
    )
    chosen = parser.parse_args()
    file = chosen.data
    with one_blas_thread():
        try:
            cells = cells_of_file(file) if file else shipped_cells()
            parameters = default_parameters(cells)
            found = compare(cells, parameters, SEED, chosen.stronger)
            new = compare_new_items(cells, parameters, SEED)
        except ConfigurationError as error:
            parser.error(str(error))
        if not found:
            parser.error("no user has enough interactions to be judged by")
        costs = {length: _microseconds(length) for length in LENGTHS}
    _print_quality(found)
    if new is not None:
        _print_new_items(new)
    _print_costs(costs)


def mean_difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> Estimate:
    """Return by how much the first mean is larger, with the interval of a paired bootstrap."""
    paired = first - second
    bounds = bootstrap(paired[:, None], SEED)
    return Estimate(float(paired.mean()), bounds[0] if bounds else None)


def _print_quality(found: Mapping[int, JudgedLists]) -> None:
    columns = (
        *("first interactions #", "popularity #", "fold-in #", "full retraining #"),
        *("fold-in over popularity #", "share of full retraining #"),
    )
    for judged_by, wanted in (("next", f"the {NEXT} interactions that"), ("all", "all that")):
        lists_by_first: dict[int, Lists] = {
            first: getattr(judged, judged_by) for first, judged in found.items()
        }
        terminal.out.print(
            f"{len(lists_by_first[AS_GOOD_AT].fold_in)} users, each left out once; NDCG@10 by "
            f"{wanted} follow his first; 95 % intervals by bootstrap over them"
        )
        rows = [_row(first, lists) for first, lists in lists_by_first.items()]
        terminal.out.print(terminal.grid(columns, rows))
        terminal.out.print(_verdict(lists_by_first[BETTER_AT], lists_by_first[AS_GOOD_AT]))


def _print_new_items(lists: NewItemLists) -> None:
    terminal.out.print(
        f"{len(lists.none.any)} users of items that no model knows, half of whose users were fed; "
        "share of their lists of ten with a hit; 95 % intervals by bootstrap over users"
    )
    columns = ("new items #", "any item #", "against none #", "a new item #")
    rows = [
        (
            name,
            f"{hits.any.mean():.4f}",
            f"{mean_difference(hits.any, lists.none.any):+.4f}",
            f"{hits.new.mean():.4f}",
        )
        for name, hits in zip(("none", "overlay", "full retraining"), lists, strict=True)
    ]
    terminal.out.print(terminal.grid(columns, rows))


def _row(first: int, lists: Lists) -> tuple[str, ...]:
    return (
        str(first),
        *(f"{earned.mean():.4f}" for earned in lists),
        f"{mean_difference(lists.fold_in, lists.popularity):+.4f}",
        f"{lists.fold_in.mean() / lists.retrained.mean():.1%}",
    )


def _verdict(few: Lists, many: Lists) -> str:
    better = mean_difference(few.fold_in, few.popularity)
    share = many.fold_in.mean() / many.retrained.mean()
    is_better = better.bounds is not None and better.bounds[0] > 0
    return (
        f"better than popularity from {BETTER_AT}: {'met' if is_better else 'missed'}; "
        f"at least {SHARE_BAR:.0%} of a full retraining from {AS_GOOD_AT}: "
        f"{'met' if share >= SHARE_BAR else 'missed'}"
    )


def _print_costs(costs: Mapping[int, tuple[float, float]]) -> None:
    terminal.out.print(
        f"{FACTORS} factors, {USERS:,} users in a batch, CPU time, one thread, the best of "
        f"{ROUNDS} rounds"
    )
    columns = ("items #", "µs a user #", "implicit's recalculate_user, µs #", "ratio #")
    rows = [
        (str(length), f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}")
        for length, (ours, theirs) in costs.items()
    ]
    terminal.out.print(terminal.grid(columns, rows))
    spent = costs[BARRED][0]
    verdict = "met" if spent <= MICROSECONDS_BAR else "missed"
    terminal.out.print(f"at most {MICROSECONDS_BAR:g} µs a user with {BARRED} items: {verdict}")


def _microseconds(length: int) -> tuple[float, float]:
    """Return ours and `implicit`'s, for users of so many items."""
    random = np.random.default_rng(SEED)
    factors = random.normal(0, 0.1, (ITEMS, FACTORS)).astype(np.float32)
    item = np.sort(random.integers(0, ITEMS, (USERS, length), dtype=np.int32), axis=1).ravel()
    weight = random.uniform(0.5, 5, len(item)).astype(np.float32)
    indptr = np.arange(0, len(item) + 1, length, dtype=np.int64)
    solver = RowSolver(factors, LossFunction(1.0, 3.0))
    theirs = AlternatingLeastSquares(FACTORS, regularization=3.0, num_threads=1)
    theirs.item_factors = factors
    matrix, users = csr_matrix((weight, item, indptr), (USERS, ITEMS)), np.arange(USERS)
    return (
        _fastest(lambda: solver.solve(Entries(indptr, item, weight))),
        _fastest(lambda: theirs.recalculate_user(users, matrix)),
    )


def _fastest(solve: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        solve()
        seconds.append(time.process_time() - started)
    return min(seconds) / USERS * 1e6


if __name__ == "__main__":
    main()
