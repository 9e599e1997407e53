"""Drawings of a report: SVG as text, without scripts and without any dependency.

Pure: knows numbers, names and where they go on the paper; must not know what they mean. Colours are
the classes of the page's style sheet. Names are ours, never a user's, so nothing is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from training.judging.bootstrap import Bounds

WIDTH: Final = 640
LEFT: Final = 128
"""Pixels for the names at the left."""

ROOM: Final = WIDTH - LEFT - 72
"""Pixels for the numbers, with space for their text at the right."""

LINE: Final = 20
HEIGHT: Final = 240


@dataclass(frozen=True, slots=True)
class IntervalBar:
    """A value with its interval. ``kind`` is the style class: whose value it is."""

    kind: str
    value: float
    bounds: Bounds | None = None


def bars(groups: Mapping[str, Sequence[IntervalBar]]) -> str:
    """Return horizontal bars with whiskers, in groups; all on one scale from 0."""
    most = max((_top(bar) for group in groups.values() for bar in group), default=0.0) or 1.0
    parts, y = [], 4.0
    for name, group in groups.items():
        parts.append(_text(LEFT - 10, y + LINE * len(group) / 2 + 4, name, "name", "end"))
        for bar in group:
            parts.extend(_bar(bar, y, ROOM / most))
            y += LINE
        y += 10
    return _svg(y, parts)


def differences(rows: Mapping[str, IntervalBar]) -> str:
    """Return points with whiskers around a line at zero."""
    reach = max((_reach(bar) for bar in rows.values()), default=0.0) or 1.0
    middle, scale = LEFT + ROOM / 2, ROOM / 2 / reach
    end = 4 + LINE * len(rows)
    parts = [f'<line class="zero" x1="{middle:.1f}" x2="{middle:.1f}" y1="0" y2="{end}"/>']
    for place, (name, bar) in enumerate(rows.items()):
        y = 4 + LINE * place + LINE / 2
        parts.append(_text(LEFT - 10, y + 4, name, "name", "end"))
        if bar.bounds is not None:
            low, high = (middle + bound * scale for bound in bar.bounds)
            parts.append(_whisker(low, high, y))
        parts.append(
            f'<circle class="{bar.kind}" cx="{middle + bar.value * scale:.1f}" cy="{y}" r="4"/>'
        )
        parts.append(_text(LEFT + ROOM + 8, y + 4, f"{bar.value:+.4f}", "number"))
    return _svg(end, parts)


def curves(
    lines: Mapping[str, Sequence[float]], ticks: Mapping[str, float], across: str, up: str
) -> str:
    """Return curves of values 0 to 1, by style class; points are evenly spaced.

    Parameters
    ----------
    lines
        At least two values each.
    ticks
        Where each text stands below, as a share of the width.
    across, up
        What the axes are.
    """
    high = HEIGHT - 60
    parts = [
        f'<rect class="frame" x="{LEFT}" y="4" width="{ROOM}" height="{high}"/>',
        _text(LEFT + ROOM / 2, HEIGHT - 10, across, "name", "middle"),
        _text(LEFT - 10, 8 + high / 2, up, "name", "end"),
    ]
    for text, share in ticks.items():
        parts.append(_text(LEFT + ROOM * share, high + 20, text, "name", "middle"))
    for kind, values in lines.items():
        step = ROOM / (len(values) - 1)
        points = " ".join(
            f"{LEFT + step * place:.1f},{4 + high * (1 - value):.1f}"
            for place, value in enumerate(values)
        )
        parts.append(f'<polyline class="{kind}" points="{points}"/>')
    return _svg(HEIGHT, parts)


def _bar(bar: IntervalBar, y: float, scale: float) -> list[str]:
    middle = y + LINE / 2
    parts = [
        f'<rect class="{bar.kind}" x="{LEFT}" y="{y + 3}" '
        f'width="{bar.value * scale:.1f}" height="{LINE - 6}"/>'
    ]
    if bar.bounds is not None:
        low, high = (LEFT + bound * scale for bound in bar.bounds)
        parts.append(_whisker(low, high, middle))
    parts.append(_text(LEFT + _top(bar) * scale + 8, middle + 4, f"{bar.value:.4f}", "number"))
    return parts


def _whisker(low: float, high: float, y: float) -> str:
    return (
        f'<path class="whisker" d="M{low:.1f} {y}H{high:.1f}'
        f'M{low:.1f} {y - 4}v8M{high:.1f} {y - 4}v8"/>'
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    inside = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-hidden="true">{inside}</svg>'


def _top(bar: IntervalBar) -> float:
    return bar.value if bar.bounds is None else max(bar.value, bar.bounds[1])


def _reach(bar: IntervalBar) -> float:
    return max(abs(bar.value), *(abs(bound) for bound in bar.bounds or ()), 0.0)
