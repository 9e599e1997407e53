"""The gate's checks of the model alone: size, shapes, finite and non-constant factors. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.wire.training_records.gate_results import Check, Verdict
from training.data.matrix import Csr, Factors, Mask
from training.judging.gate import GateLimits, verdict

DEAD_VARIATION: Final = 1e-6
"""A column whose standard deviation is below this share of the matrix's largest number tells no
two rows apart: float32 holds seven digits."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Size of the training set.

    Parameters
    ----------
    users, items
        Rows and columns.
    interactions
        Pairs of user and item that teach: their weight is above 0.
    cells
        All pairs in the training set.
    pairs
        Pairs before the minimums; 0: nobody counted.
    events
        Events that the pairs come from; 0: nobody counted.
    """

    users: int
    items: int
    interactions: int
    cells: int = 0
    pairs: int = 0
    events: int = 0


def check_counts(counts: Counts, limits: GateLimits) -> tuple[Check, ...]:
    """Check that there is enough to learn from."""
    return (
        _at_least("users", counts.users, limits.min_users),
        _at_least("items", counts.items, limits.min_items),
        _at_least("interactions", counts.interactions, limits.min_interactions, _of_events(counts)),
    )


def check_factors(factors: Factors | None, counts: Counts, columns: int) -> tuple[Check, ...]:
    """Check the shapes, which finds swapped matrices, and that all numbers are finite.

    Parameters
    ----------
    factors
        The model; None if it was not fitted.
    counts
        Rows that the two matrices must have.
    columns
        Columns that both must have: the parameter ``factors``.
    """
    wanted = f"users {counts.users} × {columns}, items {counts.items} × {columns}"
    if factors is None:
        return (
            Check("factor_shapes", "inconclusive", "not fitted", wanted),
            Check("finite_factors", "inconclusive", "not fitted", "all finite"),
        )
    shapes = f"users {_shape(factors.users)}, items {_shape(factors.items)}"
    broken = sum(int((~np.isfinite(matrix)).sum()) for matrix in (factors.users, factors.items))
    return (
        Check("factor_shapes", verdict(shapes == wanted), shapes, wanted),
        Check("finite_factors", verdict(broken == 0), f"{broken} not finite", "all finite"),
    )


def check_life(factors: Factors | None, weights: Csr) -> Check:
    """Check that every column tells rows apart, and that what teaches has left a trace.

    Parameters
    ----------
    factors
        The model; None if it was not fitted, or has the wrong shapes.
    weights
        Users × items, as fitted. A row without any weight is rightly all zeros.
    """
    allowed = "0 columns that are the same for all, 0 rows of zeros"
    if factors is None or not all(np.isfinite(matrix).all() for matrix in factors):
        return Check("dead_factors", "inconclusive", "no sound factors", allowed)
    columns = int(sum(_dead_columns(matrix).sum() for matrix in factors))
    entries = np.diff(weights.indptr), np.bincount(weights.indices, minlength=weights.shape[1])
    rows = [
        int((~matrix.any(axis=1) & (some > 0)).sum())
        for matrix, some in zip(factors, entries, strict=True)
    ]
    seen = f"{columns} columns, rows of {rows[0]} users and {rows[1]} items with interactions"
    return Check("dead_factors", verdict(columns + sum(rows) == 0), seen, allowed)


def _of_events(counts: Counts) -> str:
    """Say why some events are not used.

    >>> _of_events(Counts(671, 9_066, 86_619, cells=99_000, pairs=99_000, events=100_004))
    ' pairs from 100,004 events; not used: 1,004 repeats of a pair; 12,381 pairs of weight 0'
    """
    if not counts.events:
        return ""
    losses = {
        "repeats of a pair": counts.events - counts.pairs,
        "pairs below the minimums": counts.pairs - counts.cells,
        "pairs of weight 0": counts.cells - counts.interactions,
    }
    unused = "; ".join(f"{many:,} {what}" for what, many in losses.items() if many)
    return f" pairs from {counts.events:,} events" + (f"; not used: {unused}" if unused else "")


def _dead_columns(matrix: NDArray[np.float32]) -> Mask:
    largest = float(np.abs(matrix).max(initial=0))
    dead: Mask = matrix.std(axis=0, dtype=np.float64) <= DEAD_VARIATION * largest
    return dead


def _at_least(name: str, seen: int, least: int, of: str = "") -> Check:
    found: Verdict = "inconclusive" if seen == 0 else verdict(seen >= least)
    return Check(name, found, f"{seen:,}{of}" if of else str(seen), f"at least {least}")


def _shape(matrix: NDArray[np.float32]) -> str:
    return " × ".join(str(length) for length in matrix.shape)
