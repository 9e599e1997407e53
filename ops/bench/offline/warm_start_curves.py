"""What a warm start saves: NDCG@10 by iteration, starting at random, from older and from trial
factors.

``python -m ops.bench.offline.warm_start_curves`` prints three tables, on the shipped ratings, and
needs no Kafka. The gate's split is made first: no version has learned the held-out interactions.
The older version has learned from a first part of the rest, by time (what follows is mostly of new
users), or of each user (what follows is of users who came back). Then each fit learns from all of
the rest. Its numbers are for MovieLens only, and it is not part of the gate.

The trial is that of a run on the rest: it has learned from the older part of that, by the gate's
split once more. The third table is why `RETRAIN_FINAL_ITERATIONS` is what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from ops.bench.quality import default_parameters, shipped_cells
from ops.views import terminal
from registry.scoring.model_arrays import ModelArrays
from registry.settings import read_settings
from registry.versions.manifest import Parameters
from training.data.cell_weights import weights
from training.data.item_order import by_falling_norm
from training.data.matrix import Cells, Factors, Mask, csr, only
from training.fitting.als import fit_als, one_blas_thread
from training.fitting.warm_start import first_values
from training.judging.bootstrap import bootstrap
from training.judging.holdout import Split, split
from training.judging.incumbent import align
from training.judging.quality_estimates import Estimate
from training.judging.ranking_metrics import by_factors, judge
from training.runs.version_arrays import arrays_of

SEEDS: Final = (42, 43, 44, 45, 46)
"""The mean over some: one seed's NDCG@10 goes up and down by 1 % from iteration to iteration."""

SAME: Final = (0.99, 0.98)
"""Shares of the last NDCG@10 of a fit that began at random which count as the same."""

SHORT: Final = 5
"""Iterations of a warm fit that the docs propose."""

FINAL: Final = (1, 2, 3, 5, 15)
"""Iterations of a fit that begins with the trial's factors which are compared."""

RANDOM: Final = "at random"
TRIAL: Final = "the trial"

Curve = NDArray[np.float64]
"""(iterations, users): NDCG@10."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedByFits:
    """What all fits share: the shipped ratings, our defaults, what teaches, the gate's split."""

    cells: Cells
    parameters: Parameters
    teaches: Mask
    halves: Split


def ground() -> SharedByFits:
    """Return what all fits share."""
    cells = shipped_cells()
    parameters = default_parameters(cells)
    weight = weights(cells, parameters)
    halves = split(cells, weight, read_settings({}).retrain_holdout)
    return SharedByFits(cells, parameters, (weight > 0) & ~halves.held, halves)


def first_by_time(share: float, on: SharedByFits) -> Mask:
    """Return (cells,): the first of the cells that teach."""
    time = on.cells.time
    first: Mask = on.teaches & (time <= np.quantile(time[on.teaches], share))
    return first


def first_of_each_user(share: float, on: SharedByFits) -> Mask:
    """Return (cells,): the first of each user's cells that teach, one at least."""
    user = on.cells.user
    order = np.lexsort((on.cells.time, user))
    order = order[on.teaches[order]]
    count = np.bincount(user[order], minlength=on.cells.shape[0])
    place = np.arange(len(order)) - (np.cumsum(count) - count)[user[order]]
    first = np.zeros(len(user), np.bool_)
    first[order[place < np.ceil(share * count[user[order]])]] = True
    return first


def older_version(
    on: SharedByFits, first: Mask, parameters: Parameters, before: ModelArrays | None = None
) -> ModelArrays:
    """Return a version that has learned from, and seen, the first cells only.

    It began at random, or with the version `before` it and `SHORT` iterations.
    """
    cells = only(on.cells, first)
    weight = weights(cells, parameters)
    start = None
    if before is not None:
        start = first_values(align(before, cells), parameters)
        parameters = replace(parameters, iterations=SHORT)
    learned = fit_als(csr(cells, weight > 0, weight), parameters, 1, _silently, start)
    return arrays_of(*by_falling_norm(cells, learned), parameters)


def by_time(share: float, on: SharedByFits, parameters: Parameters) -> ModelArrays:
    """Return the older version that has learned from the first interactions of all."""
    return older_version(on, first_by_time(share, on), parameters)


def by_user(share: float, on: SharedByFits, parameters: Parameters) -> ModelArrays:
    """Return the older version that has learned from the first interactions of each user."""
    return older_version(on, first_of_each_user(share, on), parameters)


def chain(on: SharedByFits, parameters: Parameters) -> ModelArrays:
    """Return the last of ten versions, each but the first begun with the one before."""
    version: ModelArrays | None = None
    for share in np.linspace(0.5, 0.95, 10).tolist():
        version = older_version(on, first_by_time(share, on), parameters, version)
    assert version is not None
    return version


OLDER: Final[Mapping[str, Callable[[SharedByFits, Parameters], ModelArrays]]] = {
    "80 % by time": partial(by_time, 0.8),
    "95 % by time": partial(by_time, 0.95),
    "ten versions, 50 to 95 % by time": chain,
    "80 % of each user": partial(by_user, 0.8),
}
"""Older versions, by what they have learned from."""


def trial(on: SharedByFits, parameters: Parameters) -> Factors:
    """Return the trial of a run on what teaches; all ids have their rows in it."""
    cells = only(on.cells, on.teaches)
    halves = split(cells, weights(cells, parameters), read_settings({}).retrain_holdout)
    return fit_als(halves.older, parameters, 1, _silently)


def curve(on: SharedByFits, parameters: Parameters, start: Factors | None = None) -> Curve:
    """Return how good the factors are after each iteration."""
    judged = []
    for _ in range(parameters.iterations):
        start = fit_als(on.halves.older, replace(parameters, iterations=1), 1, _silently, start)
        found = judge(by_factors(start), on.halves)
        assert found is not None  # the shipped data have users
        judged.append(found.of("ndcg"))
    return np.stack(judged)


def curves(on: SharedByFits, seed: int) -> dict[str, Curve]:
    """Return the curve of each beginning."""
    parameters = replace(on.parameters, seed=seed)
    found = {RANDOM: curve(on, parameters), TRIAL: curve(on, parameters, trial(on, parameters))}
    for name, older in OLDER.items():
        found[name] = curve(
            on, parameters, first_values(align(older(on, parameters), on.cells), parameters)
        )
    return found


def same_from(values: NDArray[np.float64], least: float) -> int | None:
    """Return the iteration from which on `values` are at least `least`; None: not in the end.

    >>> same_from(np.array([0.5, 0.991, 0.9, 0.995, 1.0]), 0.99)
    4
    >>> same_from(np.array([1.0, 0.9]), 0.99) is None
    True
    """
    below = np.flatnonzero(values < least)
    since = int(below[-1]) + 2 if len(below) else 1
    return since if since <= len(values) else None


def main() -> None:
    """Print a row an iteration; a row a beginning: since when it is the same, how surely; a row a
    number of iterations that follow on the trial's.
    """
    on = ground()
    with one_blas_thread():
        by_seed = [curves(on, seed) for seed in SEEDS]
    mean = {name: np.mean([found[name] for found in by_seed], axis=0) for name in by_seed[0]}
    _, users = mean[RANDOM].shape
    terminal.out.print(
        f"NDCG@10 of {users} users, mean of {len(SEEDS)} seeds, by what it began with"
    )
    by_iteration = [
        (number, *(f"{ours[number - 1].mean():.4f}" for ours in mean.values()))
        for number in range(1, on.parameters.iterations + 1)
    ]
    terminal.out.print(
        terminal.grid(("iteration #", *(f"{name} #" for name in mean)), by_iteration)
    )
    columns = (
        "began with",
        *(f"within {1 - share:.0%} from #" for share in SAME),
        f"after {SHORT} #",
        f"over {on.parameters.iterations} {RANDOM} #",
    )
    rows = [_row(name, ours, mean[RANDOM]) for name, ours in mean.items()]
    terminal.out.print(terminal.grid(columns, rows))
    columns = (
        "iterations after the trial's #",
        "NDCG@10 #",
        f"over {on.parameters.iterations} {RANDOM} #",
        "in percent #",
        "by seed, percent #",
    )
    rows = [_final_row(number, by_seed, mean) for number in FINAL]
    terminal.out.print(terminal.grid(columns, rows))


def _row(name: str, ours: Curve, random: Curve) -> tuple[object, ...]:
    last, short = random[-1], ours[SHORT - 1]
    since = (same_from(ours.mean(axis=1), share * last.mean()) for share in SAME)
    difference = f"{_over(short, last):+.4f}"
    return (name, *(number or "never" for number in since), f"{short.mean():.4f}", difference)


def _final_row(
    number: int, by_seed: Sequence[Mapping[str, Curve]], mean: Mapping[str, Curve]
) -> tuple[object, ...]:
    ours, last = mean[TRIAL][number - 1], mean[RANDOM][-1]
    percent = 100 / last.mean()
    seeds = (
        100 * (found[TRIAL][number - 1].mean() / found[RANDOM][-1].mean() - 1) for found in by_seed
    )
    return (
        number,
        f"{ours.mean():.4f}",
        f"{_over(ours, last):+.4f}",
        f"{_over(percent * ours, percent * last):+.1f}",
        ", ".join(f"{percentage:+.1f}" for percentage in seeds),
    )


def _over(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Estimate:
    """Return the mean difference over users, with its interval."""
    bounds = bootstrap((ours - theirs)[:, None], 0)
    return Estimate((ours - theirs).mean(), bounds[0] if bounds else None)


def _silently(_done: int) -> None:
    pass


if __name__ == "__main__":
    main()
