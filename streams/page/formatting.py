"""How the status page words numbers, times and messages. Pure; must not know what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from typing import Any, Final

from markupsafe import Markup, escape

from registry.wire.instants import Instant


def percent(percentage: float) -> str:
    """Word a percentage of 0..100.

    >>> percent(10.0), percent(0.25)
    ('10 %', '0.25 %')
    """
    return f"{round(percentage, 2):g} %"


def count(number: float) -> str:
    """Word a whole number.

    >>> count(100836)
    '100,836'
    """
    return f"{number:,.0f}"


def total(number: float) -> str:
    """Word a sum that need not be whole.

    >>> total(3008.0), total(12.5)
    ('3,008', '12.5')
    """
    return f"{round(number, 2):,.12g}"


def rate(per_second: float) -> str:
    """Word a rate: one decimal while it is small.

    >>> rate(0.04), rate(12.34), rate(2048.7)
    ('0.04', '12.3', '2,049')
    """
    decimals = 2 if per_second < 1 else 1 if per_second < 100 else 0
    return f"{per_second:,.{decimals}f}"


def milliseconds(latency_ms: float) -> str:
    """Word a latency, three figures or so.

    >>> milliseconds(0.0312), milliseconds(3.41), milliseconds(87.2), milliseconds(1234.0)
    ('0.031 ms', '3.4 ms', '87 ms', '1.23 s')
    """
    if latency_ms < 1:
        return f"{latency_ms:.2g} ms"
    if latency_ms >= 1000:
        return f"{latency_ms / 1000:.2f} s"
    return f"{latency_ms:.{1 if latency_ms < 10 else 0}f} ms"


def size(size_bytes: int) -> str:
    """Word a size.

    >>> size(512), size(4_400_000)
    ('512 B', '4.4 MB')
    """
    if size_bytes < 1000:
        return f"{size_bytes} B"
    units = ("kB", "MB", "GB", "TB")
    power = min((len(str(size_bytes)) - 1) // 3, len(units))
    return f"{size_bytes / 1000**power:.1f} {units[power - 1]}"


def duration(seconds: float) -> str:
    """Word a length of time in its largest one or two units.

    >>> duration(0.84), duration(42.0), duration(3_720.0), duration(187_200.0)
    ('0.84 s', '42 s', '1 h 2 min', '2 d 4 h')
    """
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86_400)
    if hours == 0:
        return f"{minutes} min"
    return f"{days} d {hours % 24} h" if days else f"{hours} h {minutes % 60} min"


def metric(name: str) -> str:
    """Word the name of a metric of quality.

    >>> metric("ndcg_at_10"), metric("popularity_hr_at_10")
    ('NDCG@10', 'popularity HR@10')
    """
    words = name.replace("_at_", "@").replace("_", " ")
    return words.replace("ndcg", "NDCG").replace("hr@", "HR@")


def ago(then: Instant | str | None, now: Instant) -> str:
    """Word a time as a distance from `now`.

    Manifests of other programs hold any text as their time: the page then shows that text.

    >>> ago("2026-01-05T11:58:00Z", Instant.read("2026-01-05T12:00:00Z"))
    '2 min ago'
    """
    if not then:
        return "at an unknown time"
    try:
        distance = now - (Instant.read(then) if isinstance(then, str) else then)
    except ValueError:
        return str(then)
    if abs(distance) < timedelta(seconds=2):
        return "just now"
    worded = duration(round(abs(distance).total_seconds()))
    return f"{worded} ago" if distance > timedelta(0) else f"in {worded}"


def clock(time: Instant) -> str:
    """Word a time of day, to the second.

    >>> clock(Instant.read("2026-01-05T12:03:44.120+00:00"))
    '12:03:44 UTC'
    """
    return time.astimezone(UTC).strftime("%H:%M:%S UTC")


def moment(seconds: float) -> str:
    """Word a time of day that is given in seconds since 1970.

    >>> moment(1767614624.9)
    '12:03:44 UTC'
    """
    return clock(Instant.of(seconds))


def signed(difference: float) -> str:
    """Word a difference to three figures, with its sign.

    >>> signed(3.14159), signed(-0.00123), signed(0.0)
    ('+3.14', '-0.00123', '0')
    """
    return f"{difference:+.3g}" if difference else "0"


def span(start: Instant, end: Instant) -> str:
    """Word the time between two moments."""
    return duration((end - start).total_seconds())


def prose(text: str) -> Markup:
    """Escape a message and show what it puts in backticks as code.

    >>> str(prose("run `swap <version>`"))
    'run <code>swap &lt;version&gt;</code>'
    """
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons that occurred, the most frequent first."""
    return sorted(((why, n) for why, n in counts.items() if n), key=lambda reason: -reason[1])


def share(part: float, whole: float) -> str:
    """Word a part of a whole as a percentage.

    >>> share(3, 1_000), share(0, 10), share(0, 0)
    ('0.3 %', '0 %', 'no data yet')
    """
    return percent(100 * part / whole) if whole else "no data yet"


WORDS: Final[tuple[Callable[..., Any], ...]] = (
    *(
        percent,
        count,
        rate,
        milliseconds,
        size,
        duration,
        metric,
        ago,
        clock,
        moment,
        prose,
        share,
        total,
    ),
)
"""What the templates can call, by its name."""
