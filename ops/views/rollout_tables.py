"""Tables of rollouts: ramps and their guardrails, the history, the fleet, explanations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from ops.clients.fleet_observer import Observation
from ops.views.escape_text import on_one_line
from ops.views.terminal import VERDICT_STYLE, Text, err, grid, out, pairs
from registry.guardrails.live_workers import LIVE_SECONDS, age_seconds
from registry.ramp_plans.ramp_stages import stages_of
from registry.rollout.assignment import canary_share
from registry.rollout.explanation import Explanation
from registry.rollout.trail_wording import diff, ramp_words
from registry.wire.command_results import CommandResult, report_folder
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant
from registry.wire.ramp_values import Finding, Outcome, RampState
from registry.wire.rollout_state import RolloutState
from streams.watch.fleet_notices import fleet_notices

if TYPE_CHECKING:
    from ops.clients.fresh_arithmetic import FreshArithmetic, MixedArithmetic
    from registry.rollout.ramp_decision import Look
    from streams.http.documents import RampLook

OUTCOME_STYLE: Final[dict[Outcome, str]] = {
    "promoted": "green",
    "rolled_back": "red",
    "cancelled": "yellow",
}
STATUS_STYLE: Final = {"applied": "green", "rejected": "red", "duplicate": "yellow"}


def state_table(state: RolloutState) -> Table:
    """Return the rollout state; fields that the strategy does not use are left out.

    A bucketing that an operator has set is always shown: the next canary starts with it.
    """
    splits, shadows = state.strategy in ("canary", "ab_test"), state.strategy == "shadow"
    interleaves = state.strategy == "interleave"
    deals = splits or state.bucketing != "modulo" or state.salt
    sampled = f"{state.shadow_sample_percentage:g} % of users"
    return pairs(
        {
            "environment": state.environment,
            "epoch": state.epoch,
            "strategy": state.strategy,
            "primary version": state.primary_version,
            "canary version": state.canary_version,
            "canary percentage": f"{canary_share(state):g} %" if splits else None,
            "bucketing": state.bucketing + ("" if splits else ", kept for the next canary")
            if deals
            else None,
            "salt": state.salt,
            "answers": "items of both versions in each" if interleaves else None,
            "shadow sample": sampled if shadows else None,
            "ramp": ramp_words(state.ramp) if state.ramp else None,
            "previous versions": ", ".join(state.previous_versions),
            "updated": on_one_line(f"{state.updated_at or ''} by {state.updated_by}".strip()),
            "reason": state.reason,
        }
    )


def print_result(result: CommandResult) -> None:
    """Print the result of a command; a rejection goes to standard error."""
    if result.error is not None and result.status == "rejected":
        err.print(
            Text(f"{result.type} rejected ({result.error.code}): {result.error.message}", "red")
        )
        return
    epoch = "" if result.epoch is None else f"   epoch {result.epoch}"
    out.print(Text.assemble((f"{result.type} {result.status}", "green"), (epoch, "dim")))
    if result.after is not None:
        out.print(state_table(result.after))


def seen_tables(seen: Observation) -> Group:
    """Return the state, and its ramp if there is one."""
    assert seen.state is not None  # the caller checks
    return Group(state_table(seen.state), *_ramp_tables(seen))


def followed_ramp(seen: Observation) -> Group:
    """Return the ramp alone, if there is one: the part that changes while it is followed."""
    if seen.state is None or seen.state.ramp is None:
        return Group()
    return Group(ramp_line(seen.state), *_ramp_tables(seen))


def _ramp_tables(seen: Observation) -> list[Table]:
    """Return the stages, and the guardrails' verdicts, current or from the ramp's last step."""
    ramp = seen.state.ramp if seen.state else None
    if ramp is None:
        return []
    findings = seen.ramp.findings if seen.ramp else ramp.findings
    return [stage_table(ramp, seen.ramp), findings_table(findings)]


def ramp_line(state: RolloutState) -> Text:
    """Return in one line where the ramp of `state` is, or how it ended."""
    assert state.ramp is not None  # the caller checks
    style = OUTCOME_STYLE[state.ramp.outcome] if state.ramp.outcome else "cyan"
    words = Text.assemble(("ramp ", "bold"), (ramp_words(state.ramp), f"bold {style}"))
    if state.ramp.outcome is None:
        versions = filter(None, (state.canary_version, state.primary_version))
        words.append(f"   {' over '.join(versions)}", "dim")
    return words


def stage_table(ramp: RampState, look: Look | RampLook | None) -> Table:
    """Return the ramp's stages: done, current and upcoming."""
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
            Text(finding.verdict, VERDICT_STYLE[finding.verdict]),
            finding.guardrail.replace("_", " "),
            finding.message,
        )
        for finding in findings
    ]
    return grid(("verdict", "guardrail", "figures"), rows)


def states_table(states: Iterable[RolloutState]) -> Table:
    """Return one row per environment."""
    rows = [
        (
            state.environment,
            state.epoch,
            state.strategy,
            state.primary_version,
            state.canary_version or "",
            ramp_words(state.ramp) if state.ramp else "",
            f"{_moment(state.updated_at)} by {state.updated_by}",
        )
        for state in states
    ]
    return grid(
        ("environment", "epoch #", "strategy", "primary", "canary", "ramp", "updated"), rows
    )


def trail_lines(results: Iterable[CommandResult]) -> Group:
    """Return each command with what it changed, or why it was rejected."""
    return Group(*(_trail_entry(result) for result in results))


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
    below = [Text(f"{change.field}: {change.before} → {change.after}") for change in diff(result)]
    if result.error is not None:
        below.append(Text(f"{result.error.code}: {result.error.message}", "red"))
    if result.reason:
        below.append(Text(result.reason, "italic"))
    if result.reported_experiment is not None:
        folder = report_folder(result.environment, result.reported_experiment)
        below.append(Text(f"report of the experiment, in the registry: {folder}"))
    return Group(head, *(Padding(line, (0, 0, 0, 4), expand=False) for line in below))


def _moment(at: Instant | None) -> str:
    """Return a record's UTC time to the second, with a space so that the terminal can wrap it."""
    return at.strftime("%Y-%m-%d %H:%M:%S") if at else ""


def fleet_table(fleet: Sequence[Heartbeat], now: float, partitions: int) -> Group:
    """Return the workers with the addresses of their pages, and their problems.

    `now` is in seconds since 1970; `partitions` is the request topic's number of partitions.
    """
    rows = [
        (
            Text(_worker(heartbeat)),
            _life(heartbeat, now),
            "none" if heartbeat.epoch is None else heartbeat.epoch,
            ", ".join(heartbeat.ready) or "none",
            f"{heartbeat.lag:,}",
            f"{heartbeat.requests_per_second:,.0f}",
            "just now" if (age := age_seconds(heartbeat, now)) is None else f"{age:.1f} s",
        )
        for heartbeat in fleet
    ]
    columns = ("worker", "state", "epoch #", "versions", "lag #", "req/s #", "seen #")
    failures = [
        Text(f"{heartbeat.worker} could not load {version}: {why}", "red")
        for heartbeat in fleet
        for version, why in heartbeat.failures.items()
    ]
    notices = [Text(notice.message, "yellow") for notice in fleet_notices(fleet, now, partitions)]
    return Group(grid(columns, rows), *failures, *notices)


def _worker(heartbeat: Heartbeat) -> str:
    """Return a worker's name, address and role, and the last offset of its control log."""
    role = ["owns control"] if heartbeat.owns_control else []
    log = [f"log {heartbeat.log_offset}"] if heartbeat.log_offset is not None else []
    details = [", ".join([*role, *log])] if role or log else []
    return "\n".join([heartbeat.worker, heartbeat.url, *details])


def _life(heartbeat: Heartbeat, now: float) -> Text:
    if heartbeat.stopping:
        return Text("stopping", "dim")
    if now - heartbeat.at > LIVE_SECONDS:
        return Text("silent", "red")
    if heartbeat.reasons:
        return Text("\n".join(["not ready:", *heartbeat.reasons]), "yellow")
    if heartbeat.partitions == 0:
        return Text("ready, no partition", "yellow")
    return Text("ready", "green")


def arithmetic_lines(made_of: FreshArithmetic | MixedArithmetic | None) -> list[str]:
    """Return what a list was made of, a sentence for each version that contributed to it."""
    from ops.clients.fresh_arithmetic import FreshArithmetic

    if made_of is None:
        return []
    if isinstance(made_of, FreshArithmetic):
        return [_arithmetic_line(made_of)]
    lines = [_arithmetic_line(made_of.primary), _arithmetic_line(made_of.canary)]
    return [*lines, "mixed by a coin for each pair of items, drawn from request id and salt"]


def _arithmetic_line(made_of: FreshArithmetic) -> str:
    sources = {
        "model": "the stored vector",
        "recomputed": "a vector solved anew from learned and fresh items",
        "fold_in": "a vector solved from his items: the version does not know him",
        "popular": "popularity",
    }
    read = ", ".join(f"{end} of partition {number}" for number, end in made_of.offsets.items())
    before = f" (interactions before offset {read})" if read else ""
    weigh = "" if made_of.weighted_items is None else f"; {made_of.weighted_items} weigh something"
    new = f"; {made_of.new_items} of the list are new" if made_of.new_items else ""
    return (
        f"ranked by {made_of.source}: {sources[made_of.source]}; {made_of.learned_items} items "
        f"learned by {made_of.version}, {made_of.fresh_items} fresh{before}{weigh}{new}"
    )


def explanation_table(explanation: Explanation) -> Table:
    """Return which version answers a user, and why."""
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
