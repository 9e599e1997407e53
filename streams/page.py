"""The status page: one worker's `Status` as HTML for people.

Knows how the values of `streams.status` are worded and laid out. Must not know where they come
from: a pure function of them, with no clock (`Status.now` is the page's) and no network. The page
is complete without its script, which only fetches it again; nothing but that script may run in it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from registry.records import (
    CommandResult,
    RolloutState,
    TrainingResult,
    TrainingRun,
    TrainingStage,
)
from streams.status import Status

REFRESH_SECONDS: Final = 2
"""How often the page asks again: as long as a command may take to reach every worker."""

LAGGING_PARTITIONS_SHOWN: Final = 16
"""The worst ones; more would push everything else off a telephone's screen."""

STATE_FIELDS: Final = (
    "strategy",
    "primary_version",
    "canary_version",
    "canary_percentage",
    "bucketing",
    "salt",
)
"""What a command can change; the rest of a state follows from it."""

NO_STATE: Final = RolloutState("", -1, "fixed", "")
"""What the first state is compared with: the defaults, so that only what was chosen shows."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One segment of the split bar; ``percentage`` of users, 0..100."""

    variant: Literal["primary", "canary"]
    version: str
    percentage: float
    residency: str


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a training run; ``filled`` is how much of its bar is drawn, 0..1."""

    stage: TrainingStage
    state: Literal["done", "current", "failed", "waiting", "skipped"]
    filled: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """One field of the rollout state that a command changed."""

    field: str
    before: str
    after: str


def render(status: Status) -> str:
    """Return the whole page as HTML; every text of `status` is escaped.

    Parameters
    ----------
    status
        One worker at one moment. None, empty tuples and zero answers are shown as what they
        are, "no data yet", never as a number.
    """
    return _template.render(
        status=status,
        arms=arms(status),
        steps=steps(status.training) if status.training else (),
        lagging=sorted(status.lag, key=lambda one: one.lag, reverse=True),
    )


def arms(status: Status) -> tuple[Arm, ...]:
    """Return who answers which percentage of users; nothing before the first state."""
    state = status.rollout
    if state is None:
        return ()
    residency = {one.version: one.residency for one in status.versions}
    canary = state.canary_percentage if state.strategy == "canary" else 0.0
    primary = state.primary_version
    found = [Arm("primary", primary, 100 - canary, residency.get(primary, "absent"))]
    if state.strategy == "canary" and state.canary_version is not None:
        on_trial = state.canary_version
        found.append(Arm("canary", on_trial, canary, residency.get(on_trial, "absent")))
    return tuple(found)


def steps(run: TrainingRun) -> tuple[Step, ...]:
    """Return all stages of `run`, in their order.

    While it goes on, its own ``stage`` tells. Once it has ended, the stages with a duration are
    those that it reached; if it published nothing, it ended in the last of them.
    """
    stages: tuple[TrainingStage, ...] = get_args(TrainingStage)
    if run.result is not None:
        return tuple(_ended(stage, run, run.result) for stage in stages)
    at = stages.index(run.stage)
    return tuple(
        Step(stage, "done", 1, None)
        if place < at
        else Step(stage, "current", run.done / run.total if run.total else 0, None)
        if place == at
        else Step(stage, "waiting", 0, None)
        for place, stage in enumerate(stages)
    )


def _ended(stage: TrainingStage, run: TrainingRun, result: TrainingResult) -> Step:
    seconds = result.stage_seconds.get(stage)
    if stage == "announce":
        if result.code == "not_announced":
            return Step(stage, "failed", 1, seconds)
        return Step(stage, "done", 1, seconds) if run.announced else Step(stage, "skipped", 0, None)
    if seconds is None:
        return Step(stage, "skipped", 0, None)
    last = [one for one in get_args(TrainingStage) if one in result.stage_seconds][-1]
    ended_here = stage == last and result.status != "published"
    return Step(stage, "failed" if ended_here else "done", 1, seconds)


def changes(result: CommandResult) -> tuple[Change, ...]:
    """Return what the command changed in the rollout state; nothing unless it was applied."""
    before, after = result.before or NO_STATE, result.after
    if result.status != "applied" or after is None:
        return ()
    pairs = [(field, getattr(before, field), getattr(after, field)) for field in STATE_FIELDS]
    return tuple(
        Change(field.removesuffix("_version").replace("_", " "), _value(old), _value(new))
        for field, old, new in pairs
        if old != new
    )


def _value(value: str | float | None) -> str:
    if value is None or value == "":
        return "none"
    return value if isinstance(value, str) else percent(value)


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


def rate(per_second: float) -> str:
    """Word a rate: one decimal while it is small.

    >>> rate(0.04), rate(12.34), rate(2048.7)
    ('0.04', '12.3', '2,049')
    """
    decimals = 2 if per_second < 1 else 1 if per_second < 100 else 0
    return f"{per_second:,.{decimals}f}"


def milliseconds(latency_ms: float) -> str:
    """Word a latency, three figures or so.

    >>> milliseconds(3.41), milliseconds(87.2), milliseconds(1234.0)
    ('3.4 ms', '87 ms', '1.23 s')
    """
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


def moment(text: str) -> datetime | None:
    """Read a time in ISO 8601, UTC unless it says otherwise; None if it is none.

    Manifests of other programs hold any text here; the page then shows that text.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def ago(text: str, now: str) -> str:
    """Word a time as a distance from `now`.

    >>> ago("2026-01-05T11:58:00Z", "2026-01-05T12:00:00Z")
    '2 min ago'
    """
    then, current = moment(text), moment(now)
    if then is None or current is None:
        return text or "at an unknown time"
    distance = current - then
    if abs(distance) < timedelta(seconds=2):
        return "just now"
    worded = duration(round(abs(distance).total_seconds()))
    return f"{worded} ago" if distance > timedelta(0) else f"in {worded}"


def clock(text: str) -> str:
    """Word a time of day, to the second.

    >>> clock("2026-01-05T12:03:44.120+00:00")
    '12:03:44 UTC'
    """
    read = moment(text)
    return read.astimezone(UTC).strftime("%H:%M:%S UTC") if read else text


def span(start: str, end: str) -> str | None:
    """Word the time between two moments; None if one of them is not known."""
    first, last = moment(start), moment(end)
    return duration((last - first).total_seconds()) if first and last else None


def prose(text: str) -> Markup:
    """Escape a message and show what it puts in backticks as code.

    >>> str(prose("run `swap <version>`"))
    'run <code>swap &lt;version&gt;</code>'
    """
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons that occurred, the most frequent first."""
    return sorted(((why, n) for why, n in counts.items() if n), key=lambda one: -one[1])


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("streams"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    wordings = (percent, count, rate, milliseconds, size, duration, metric, ago, clock, prose)
    environment.filters |= {word.__name__: word for word in wordings}
    style = environment.get_template("status.css").render()
    script = environment.get_template("status.js").render(milliseconds=REFRESH_SECONDS * 1000)
    script_digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {
        "style": Markup(style),
        "script": Markup(script),
        "script_digest": script_digest,
        "refresh_seconds": REFRESH_SECONDS,
        "lagging_shown": LAGGING_PARTITIONS_SHOWN,
        "changes": changes,
        "by_count": by_count,
        "span": span,
    }
    return environment


_template: Final = _environment().get_template("status.html")
