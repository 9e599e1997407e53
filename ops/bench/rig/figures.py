"""The figures: rates, quantiles, and whether a bar was passed.

Pure. Knows how raw times become numbers that may be compared. Must not know what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from registry.errors import ShapeError

WINDOW: Final = (0.4, 0.9)
"""The part of a backlog over which a rate is taken. Before it, what was read ahead while the worker
started would count as fast; after it, partitions run dry one after the other. Both ends fall at any
place of a batch, so that batches make the rate noisy but not wrong."""

SATURATED: Final = 0.9
"""Share of busy cores from which on a second worker can only take time from the first."""

Verdict = Literal["pass", "fail", "inconclusive"]
Times = npt.NDArray[np.float64]


class Claim(Struct, frozen=True):
    """One claim: what was seen, what is wanted, and the verdict."""

    claim: str
    seen: float
    wanted: str
    verdict: Verdict


class Window(NamedTuple):
    """The records between two moments, in milliseconds since the epoch."""

    start_ms: float
    end_ms: float
    records: float

    @property
    def per_second(self) -> float:
        """Records a second."""
        return self.records * 1000 / (self.end_ms - self.start_ms)


class Latency(Struct, frozen=True):
    """Quantiles in milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float


def sustained(times_ms: Times, each: int = 1) -> Window:
    """Return the window between the 40 % and the 90 % point of a backlog.

    Parameters
    ----------
    times_ms
        When each record, or each `each`-th one, was done: float64 (n,), in any order.
    each
        Records from one time to the next.

    Raises
    ------
    ShapeError
        If the two points are not apart: the backlog was too small for a rate.

    Examples
    --------
    >>> sustained(np.arange(0.0, 1000.0)).per_second
    1000.0
    """
    ordered = np.sort(times_ms)
    first, last = (int(share * len(ordered)) for share in WINDOW)
    if last >= len(ordered) or ordered[last] <= ordered[first]:
        raise ShapeError(f"{len(ordered)} times are too few for a rate; use more requests")
    return Window(float(ordered[first]), float(ordered[last]), (last - first) * each)


def used_between(window: Window, samples: Sequence[tuple[float, float]]) -> float:
    """Return by how much a growing quantity grew in `window`.

    Parameters
    ----------
    window
        The window.
    samples
        (milliseconds since the epoch, quantity) as they were read; linear in between.

    Examples
    --------
    >>> used_between(Window(10, 30, 0), [(0, 0.0), (20, 1.0), (40, 5.0)])
    2.5
    """
    moments, amounts = zip(*samples, strict=True)
    start, end = np.interp([window.start_ms, window.end_ms], moments, amounts)
    return float(end - start)


def latency_of(times_ms: Times) -> Latency:
    """Return the quantiles of `times_ms`, float64 (n,) with n of at least 1."""
    p50, p99 = np.quantile(times_ms, [0.5, 0.99])
    return Latency(float(p50), float(p99), float(times_ms.max()))


def at_least(claim: str, seen: float, bar: float) -> Claim:
    """Return the bar of a figure that must reach `bar`."""
    return Claim(claim, seen, f"at least {bar:g}", "pass" if seen >= bar else "fail")


def at_most(claim: str, seen: float, bar: float) -> Claim:
    """Return the bar of a figure that must not pass `bar`."""
    return Claim(claim, seen, f"at most {bar:g}", "pass" if seen <= bar else "fail")


def where_cores_allow(bar: Claim, busy_share: float) -> Claim:
    """Return `bar`, not as missed but as undecided if the machine had no core left.

    >>> where_cores_allow(at_least("twice", 1.2, 1.6), 0.97).verdict
    'inconclusive'
    """
    if bar.verdict == "fail" and busy_share >= SATURATED:
        return Claim(bar.claim, bar.seen, bar.wanted, "inconclusive")
    return bar
