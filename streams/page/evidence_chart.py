"""The picture of an experiment: its differences and their intervals over time, as paths to draw.

Pure functions of the looks that were taken; what is drawn, not its colours. Must not know HTML.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from registry.outcomes.arm_comparison import Comparison, Interval
from streams.outcomes.evidence_track import TrackedLook

WIDTH: Final = 1000.0
HEIGHT: Final = 300.0
"""Of the drawing, in its own units; the page stretches it to the room that there is."""

ROOM: Final = 1.6
"""How much taller than the present interval the picture is. The first ones are far wider, and
are cut off: with all of them in it, the present one would be a line."""


class AxisMark(NamedTuple):
    """A label of an axis: where, as a share of its length in percent, and what."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class EvidencePicture:
    """One metric's difference over time.

    ``band`` is the interval and ``line`` the estimate, as the paths of an SVG of `WIDTH` by
    `HEIGHT`; ``zero`` is the height of no difference; ``marks`` are the labels of the vertical
    axis, from the top on.
    """

    band: str
    line: str
    zero: float
    marks: tuple[AxisMark, ...]
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Whisker:
    """An interval and its estimate, as percentages of a scale that both arms share."""

    left: float
    width: float
    at: float


def evidence_pictures(looks: Sequence[TrackedLook]) -> dict[str, EvidencePicture | None]:
    """Return the picture of each metric, by its name; None with fewer than two looks to draw."""
    return {
        "conversion": _picture([(look.at, look.conversion) for look in looks], 100.0),
        "outcomes_per_exposure": _picture(
            [(look.at, look.outcomes_per_exposure) for look in looks], 1.0
        ),
    }


def whiskers(shown: Comparison) -> tuple[Whisker | None, Whisker | None]:
    """Return the intervals of both arms, the primary's first; None without one."""
    arms = (
        (shown.primary, shown.primary_interval), (shown.canary, shown.canary_interval),
    )  # fmt: skip
    known = [interval for _, interval in arms if interval is not None]
    if not known:
        return None, None
    low, high = min(each.lower for each in known), max(each.upper for each in known)
    room = (high - low) or 1.0
    found = [
        None if interval is None or estimate is None else _whisker(interval, estimate, low, room)
        for estimate, interval in arms
    ]
    return found[0], found[1]


def _whisker(interval: Interval, estimate: float, low: float, room: float) -> Whisker:
    lower, upper = interval.lower, interval.upper
    return Whisker(
        *(round(100 * part / room, 2) for part in (lower - low, upper - lower, estimate - low))
    )


class _Drawn(NamedTuple):
    at: float
    difference: float
    lower: float
    upper: float


def _picture(looks: Sequence[tuple[float, Comparison]], unit: float) -> EvidencePicture | None:
    drawn = list(_judged(looks))
    if len(drawn) < 2 or drawn[-1].at <= drawn[0].at:
        return None
    since, until, last = drawn[0].at, drawn[-1].at, drawn[-1]
    reach = _reach(last)
    scale = HEIGHT / (2 * reach)

    def place(at: float, difference: float) -> str:
        inside = min(max(difference, -reach), reach)
        return f"{WIDTH * (at - since) / (until - since):.1f} {HEIGHT / 2 - inside * scale:.1f}"

    above = [place(look.at, look.upper) for look in drawn]
    below = [place(look.at, look.lower) for look in reversed(drawn)]
    step = _step(reach * unit)
    ticks = [step * place for place in range(int(reach * unit / step), -1, -1)]
    levels = [*ticks, *(-tick for tick in reversed(ticks) if tick)]
    return EvidencePicture(
        band=f"M{' L'.join((*above, *below))} Z",
        line=f"M{' L'.join(place(look.at, look.difference) for look in drawn)}",
        zero=HEIGHT / 2,
        marks=tuple(
            AxisMark(round(50 - 50 * level / (reach * unit), 2), f"{level:+g}" if level else "0")
            for level in levels
        ),
        since=since,
        until=until,
    )


def _judged(looks: Sequence[tuple[float, Comparison]]) -> Iterator[_Drawn]:
    for at, shown in looks:
        if shown.difference is not None and shown.lower is not None and shown.upper is not None:
            yield _Drawn(at, shown.difference, shown.lower, shown.upper)


def _reach(last: _Drawn) -> float:
    return (ROOM * max(abs(last.lower), abs(last.upper))) or 1.0


def _step(reach: float) -> float:
    """Return the distance of the labels: 1, 2 or 5 times a power of ten, two or three of them.

    >>> _step(7.0), _step(0.03)
    (5.0, 0.02)
    """
    power = 10.0 ** math.floor(math.log10(reach))
    factor = max((size for size in (1.0, 2.0, 5.0) if size * power <= reach), default=1.0)
    return float(f"{factor * power:.3g}")
