"""``bench catalogue``: exact top 10 of large catalogues, on the shapes that Oryx 2 published.

Scoring alone, one thread, no Kafka: users a second of each kernel, how much of the catalogue the
tile scan reads, and which one a version of that shape would choose for itself. Norms are the ones
that decide: lognormal (σ = 0.5), about as skewed as those of fitted factors, and Gaussian factors,
whose norms are all alike, as the worst case. Must not know workers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import Claim, at_least
from registry.scoring.kernels import Hiding, ImplicitKernel, ItemRows, Kernel
from registry.scoring.model_arrays import Factors
from registry.scoring.ranking import Ranking

ASKED: Final = 10
SEEN: Final = 50
USERS: Final = 256
"""In one batch; a few for the largest catalogues, of which `implicit` scores one in 0.1 s."""

ROUNDS: Final = 3
SIGMA: Final = 0.5

SKEWED_BAR: Final = 4_370 / 2
FLAT_BAR: Final = 1_000 / 2
"""Answers a second of one core, 50 factors × 1M items: ten times Oryx's 437 on 32 cores, by two."""


class Catalogue(NamedTuple):
    """A shape, and whether its norms differ."""

    factors: int
    items: int
    skewed: bool


SHAPES: Final = tuple(
    Catalogue(factors, items, skewed)
    for factors, items in ((64, 10_000), (64, 100_000), (50, 1_000_000), (250, 1_000_000))
    for skewed in (True, False)
)
LARGE: Final = (*SHAPES, Catalogue(50, 5_000_000, True), Catalogue(50, 5_000_000, False))
QUICK: Final = (Catalogue(64, 10_000, True), Catalogue(64, 10_000, False))


class _HiddenItems(NamedTuple):
    indices: ItemRows


def measure(shapes: tuple[Catalogue, ...], say: Callable[[str], None]) -> Measured:
    """Rank the same users with each kernel in turn."""
    rows, bars = [], []
    with threadpool_limits(1):
        for shape in shapes:
            row, bar = _measure(shape)
            say("  ".join(f"{name} {cell}" for name, cell in row.items()))
            rows.append(row)
            bars += bar
    return Measured(
        parameters={"asked": ASKED, "seen": SEEN, "sigma of skewed norms": SIGMA},
        rows=rows,
        bars=bars,
        notes=["Users a second of one core, by CPU time, medians; both kernels are exact."],
    )


def _measure(shape: Catalogue) -> tuple[dict[str, Cell], list[Claim]]:
    items, users, hiding = _made_up(shape)
    ranking = Ranking(items)
    scans: dict[str, Kernel] = {
        "implicit": ImplicitKernel(ranking.item_factors),
        "tiles": ranking.tile_scan,
    }
    seconds: dict[str, list[float]] = {name: [] for name in scans}
    for _ in range(ROUNDS):
        for name, kernel in scans.items():
            started = time.thread_time()
            kernel.propose(users, ASKED, hiding)
            seconds[name].append(time.thread_time() - started)
    rate = {name: len(users) / statistics.median(taken) for name, taken in seconds.items()}
    ranking.choose_kernel(users[:64], hiding[:64], time.thread_time)
    chosen = ranking.tiles_from
    row: dict[str, Cell] = {
        "factors": shape.factors,
        "items": f"{shape.items:,}",
        "norms": "lognormal" if shape.skewed else "flat",
        "implicit": rate["implicit"],
        "tiles": rate["tiles"],
        "times": rate["tiles"] / rate["implicit"],
        "read": f"{ranking.share_read:.0%}",
        "tiles from": "never" if chosen == float("inf") else f"{chosen} users",
    }
    if (shape.factors, shape.items) != (50, 1_000_000):
        return row, []
    bar = SKEWED_BAR if shape.skewed else FLAT_BAR
    claim = f"users a second and core, 50 × 1M, {row['norms']} norms"
    return row, [at_least(claim, max(rate.values()), bar)]


def _made_up(shape: Catalogue) -> tuple[Factors, Factors, list[Hiding]]:
    draw = np.random.default_rng(0)
    items = draw.standard_normal((shape.items, shape.factors), dtype=np.float32)
    if shape.skewed:
        items *= draw.lognormal(0, SIGMA, (shape.items, 1)).astype(np.float32)
        items = items[np.argsort(-np.linalg.norm(items, axis=1), kind="stable")]
    users = min(USERS, max(16, 200_000_000 // shape.items))
    hiding: list[Hiding] = [
        _HiddenItems(draw.integers(0, shape.items, SEEN, dtype=np.int32)) for _ in range(users)
    ]
    return items, draw.standard_normal((users, shape.factors), dtype=np.float32), hiding
