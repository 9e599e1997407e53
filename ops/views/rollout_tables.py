"""How rollouts look on a terminal: ramps and their guardrails, the trail, the fleet, explanations.

Knows columns and words. Must not know where the values come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from ops.clients.fleet_observer import Seen
from ops.views.escape_text import on_one_line
from ops.views.terminal import VERDICT_STYLE, Text, grid, pairs, state_table
from registry.guardrails.fleet_checks import LIVE_SECONDS, age_seconds
from registry.rollout.explanation import Explanation
from registry.rollout.ramp_decision import Look
from registry.rollout.ramp_plan import stages_of
from registry.rollout.wording import diff, ramp_words
from registry.wire.command_results import CommandResult
from registry.wire.heartbeats import Heartbeat
from registry.wire.ramp_values import Finding, Outcome, RampState
from registry.wire.rollout_state import RolloutState
from streams.http.documents import RampLook
from streams.watch.fleet_notices import fleet_notices

OUTCOME_STYLE: Final[dict[Outcome, str]] = {
    "promoted": "green",
    "rolled_back": "red",
    "cancelled": "yellow",
}
STATUS_STYLE: Final = {"applied": "green", "rejected": "red", "duplicate": "yellow"}


def seen_tables(seen: Seen) -> Group:
    """Return the state, and its ramp if there is one."""
    assert seen.state is not None  # the caller has refused before
    return Group(state_table(seen.state), *_ramp_tables(seen))


def followed_ramp(seen: Seen) -> Group:
    """Return the ramp alone, if there is one: what changes while it is followed."""
    if seen.state is None or seen.state.ramp is None:
        return Group()
    return Group(ramp_line(seen.state), *_ramp_tables(seen))


def _ramp_tables(seen: Seen) -> list[Table]:
    """Return the stages, and what the guardrails say now, or said when the ramp last moved."""
    ramp = seen.state.ramp if seen.state else None
    if ramp is None:
        return []
    findings = seen.ramp.findings if seen.ramp else ramp.findings
    return [stage_table(ramp, seen.ramp), findings_table(findings)]


def ramp_line(state: RolloutState) -> Text:
    """Return where the ramp of `state` is, or how it ended, in one line."""
    assert state.ramp is not None  # the caller has looked
    style = OUTCOME_STYLE[state.ramp.outcome] if state.ramp.outcome else "cyan"
    words = Text.assemble(("ramp ", "bold"), (ramp_words(state.ramp), f"bold {style}"))
    if state.ramp.outcome is None:
        versions = filter(None, (state.canary_version, state.primary_version))
        words.append(f"   {' over '.join(versions)}", "dim")
    return words


def stage_table(ramp: RampState, look: Look | RampLook | None) -> Table:
    """Return the ramp's stages: done, under way, to come."""
    rows = []
    for place, stage in enumerate(stages_of(ramp.plan, ramp.environments)):
        here = place == ramp.stage and ramp.outcome is None
        left = f", {look.due_in_seconds:.0f} s left" if here and look else ""
        mark, style = _mark(place, ramp)
        cells = (mark, stage.kind, f"{stage.percentage:g} %", f"{stage.hold_seconds:g} s{left}")
        rows.append([Text(cell, style) for cell in cells])
    return grid(("", "stage", "percentage #", "hold"), rows)


def _mark(place: int, ramp: RampState) -> tuple[str, str]:
    if place < ramp.stage or (ramp.outcome == "promoted" and place == ramp.stage):
        return "done", "green"
    if place > ramp.stage:
        return "", "dim"
    if ramp.outcome is not None:
        return "ended", OUTCOME_STYLE[ramp.outcome]
    return ("paused", "yellow") if ramp.paused else ("now", "bold")


def findings_table(findings: Iterable[Finding]) -> Table:
    """Return each guardrail's verdict with its figures."""
    rows = [
        (
            Text(one.verdict, VERDICT_STYLE[one.verdict]),
            one.guardrail.replace("_", " "),
            one.message,
        )
        for one in findings
    ]
    return grid(("verdict", "guardrail", "figures"), rows)


def states_table(states: Iterable[RolloutState]) -> Table:
    """Return one row for each environment."""
    rows = [
        (
            one.environment,
            one.epoch,
            one.strategy,
            one.primary_version,
            one.canary_version or "",
            ramp_words(one.ramp) if one.ramp else "",
            f"{_moment(one.updated_at)} by {one.updated_by}",
        )
        for one in states
    ]
    return grid(
        ("environment", "epoch #", "strategy", "primary", "canary", "ramp", "updated"), rows
    )


def trail_lines(results: Iterable[CommandResult]) -> Group:
    """Return the trail: each command with what it changed, or why it was refused."""
    return Group(*(_trail_entry(one) for one in results))


def _trail_entry(result: CommandResult) -> RenderableType:
    epoch = "" if result.epoch is None else f"   epoch {result.epoch}"
    head = Text.assemble(
        (_moment(result.at), "dim"),
        on_one_line(f"   {result.environment}   "),
        (on_one_line(result.type), "bold"),
        on_one_line(f" by {result.issued_by}   "),
        (result.status, STATUS_STYLE[result.status]),
        (epoch, "dim"),
    )
    below = [Text(f"{one.field}: {one.before} → {one.after}") for one in diff(result)]
    if result.error is not None:
        below.append(Text(f"{result.error.code}: {result.error.message}", "red"))
    if result.reason:
        below.append(Text(result.reason, "italic"))
    return Group(head, *(Padding(line, (0, 0, 0, 4), expand=False) for line in below))


def _moment(at: str) -> str:
    """Return a record's time to the second, in UTC as it is there, so that it can be wrapped."""
    return at.replace("T", " ")[:19]


def fleet_table(fleet: Sequence[Heartbeat], now: float, partitions: int) -> Group:
    """Return the workers, each over the address of its pages, and what is wrong with them.

    `now` is in seconds since the epoch, `partitions` those of the request topic.
    """
    rows = [
        (
            Text(_worker(one)),
            _life(one, now),
            "none" if one.epoch is None else one.epoch,
            ", ".join(one.ready) or "none",
            f"{one.lag:,}",
            f"{one.requests_per_second:,.0f}",
            "just now" if (age := age_seconds(one, now)) is None else f"{age:.1f} s",
        )
        for one in fleet
    ]
    columns = ("worker", "is", "epoch #", "versions", "lag #", "req/s #", "heard #")
    failures = [
        Text(f"{one.worker} could not load {version}: {why}", "red")
        for one in fleet
        for version, why in one.failures.items()
    ]
    notices = [Text(one.message, "yellow") for one in fleet_notices(fleet, now, partitions)]
    return Group(grid(columns, rows), *failures, *notices)


def _worker(one: Heartbeat) -> str:
    """Return a worker's name, address and role, and where the control log that it knows ends."""
    role = ["owns control"] if one.owns_control else []
    log = [f"log {one.log_offset}"] if one.log_offset is not None else []
    return "\n".join([one.worker, one.url, *([", ".join([*role, *log])] if role or log else [])])


def _life(one: Heartbeat, now: float) -> Text:
    if one.stopping:
        return Text("stopping", "dim")
    if now - one.at > LIVE_SECONDS:
        return Text("silent", "red")
    if one.reasons:
        return Text("\n".join(["not ready:", *one.reasons]), "yellow")
    return Text("ready", "green") if one.partitions != 0 else Text("ready, no partition", "yellow")


def explanation_table(explanation: Explanation) -> Table:
    """Return who answers a user, and why."""
    bucket = None
    if explanation.bucket is not None:
        bucket = f"{explanation.bucket} of {explanation.buckets} ({explanation.bucketing})"
    return pairs(
        {
            "user": repr(explanation.user_id),
            "environment": explanation.environment,
            "epoch": explanation.epoch,
            "strategy": explanation.strategy,
            "bucket": bucket,
            "rule": explanation.sentence,
            "variant": explanation.variant,
            "version": explanation.version,
        }
    )
