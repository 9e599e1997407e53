"""A ramp's plan against the traffic: whether each step gets the requests that its verdict needs.

Pure. Knows what a plan needs, and stretches it; must not know how traffic is measured
(`registry.guardrails.fleet_counts`).

A step of ``p`` percent gets ``requests_per_second × p / 100`` requests of the canary version, and
the primary the rest; the smaller arm decides. What it needs is
`registry.ramp_plans.evidence_needs.requests_to_pass`: for a version without a fault, so a version
that has a few needs more. So the needs must fit into the hold, and the patience that follows it by
default is left for chance. A ``patience_seconds`` that the plan names is its own decision of how
long evidence is waited for, and counts. The soak gets more than any step, and is not compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec.structs import replace

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.ramp_plans.ramp_stages import Stage, stages_of
from registry.wire.commands import Rollout
from registry.wire.ramp_values import Ramp
from registry.wire.rollout_state import RolloutState

LONGEST_HOLD_SECONDS: Final = 30 * 86_400.0
"""A plan that would have to be stretched beyond a month does not fit this traffic."""

STEPS_NAMED: Final = 3
"""How many steps a refusal names."""


class Shortfall(NamedTuple):
    """A stage that lacks traffic.

    Parameters
    ----------
    stage
        Which.
    guardrail
        That needs the most time.
    requests
        That it needs of the smaller arm; in shadow, comparisons.
    percentage
        Of all requests, that this arm gets.
    needed_seconds, allowed_seconds
        That it takes, and that there are.
    """

    stage: Stage
    guardrail: str
    requests: int
    percentage: float
    needed_seconds: float
    allowed_seconds: float


def suit_traffic(
    state: RolloutState, command: Rollout, requests_per_second: float | None
) -> RolloutState:
    """Return `state`, which `command` made, with a ramp that the traffic suffices for.

    A command whose ``fit`` is None is taken as it is.

    Parameters
    ----------
    state, command
        The state after the command.
    requests_per_second
        Of the whole fleet; None if no live worker says it.

    Raises
    ------
    RefusedCommand
        With code ``no_traffic`` or ``too_little_traffic`` and the numbers.
    """
    if command.fit is None or not isinstance(command.ramp, Ramp) or state.ramp is None:
        return state
    if not requests_per_second:
        raise RefusedCommand(_no_traffic(requests_per_second), CommandCode.NO_TRAFFIC)
    short = tuple(shortfalls(command.ramp, requests_per_second))
    if not short:
        return state
    fitting = stretch(command.ramp, short)
    if not command.fit or _longest_hold(fitting) > LONGEST_HOLD_SECONDS:
        raise RefusedCommand(
            _too_little(short, requests_per_second, fitting), CommandCode.TOO_LITTLE_TRAFFIC
        )
    return replace(state, ramp=replace(state.ramp, plan=fitting, asked=command.ramp))


def shortfalls(plan: Ramp, requests_per_second: float) -> Iterator[Shortfall]:
    """Yield each stage of `plan` that takes longer than it has.

    A guardrail that no number of requests satisfies is none of the traffic's doing, and left out.
    """
    from registry.ramp_plans.evidence_needs import (
        requests_to_pass,  # NumPy: late, for quick commands
    )

    needs = {name: count for name, count in requests_to_pass(plan).items() if count is not None}
    shadowed = {"min_compared", "min_overlap"}
    for stage in stages_of(plan):
        if stage.kind not in ("shadowing", "stepping"):
            continue
        is_shadow = stage.kind == "shadowing"
        percentage = _percentage(plan, stage)
        judged = {name: count for name, count in needs.items() if (name in shadowed) is is_shadow}
        if not judged:
            continue
        guardrail = max(judged, key=lambda name: judged[name])
        seconds = judged[guardrail] / (requests_per_second * percentage / 100)
        allowed = stage.hold_seconds + (plan.patience_seconds or 0.0)
        if seconds > allowed:
            yield Shortfall(stage, guardrail, judged[guardrail], percentage, seconds, allowed)


def stretch(plan: Ramp, short: tuple[Shortfall, ...]) -> Ramp:
    """Return `plan` with holds, in whole seconds, long enough for the stages in `short`."""
    steps = [each.needed_seconds for each in short if each.stage.kind == "stepping"]
    shadows = [each.needed_seconds for each in short if each.stage.kind == "shadowing"]
    hold, shadow = max([plan.hold_seconds, *map(math.ceil, steps)]), plan.shadow
    if shadow is not None:
        longest = max([shadow.hold_seconds, *map(math.ceil, shadows)])
        shadow = replace(shadow, hold_seconds=float(longest))
    return replace(plan, hold_seconds=float(hold), shadow=shadow)


def _percentage(plan: Ramp, stage: Stage) -> float:
    """Return the percentage of requests that the smaller arm of a stage gets."""
    if stage.kind == "shadowing":
        assert plan.shadow is not None
        return plan.shadow.sample_percentage
    if stage.percentage >= 100:
        return 100.0
    return min(stage.percentage, 100 - stage.percentage)


def _longest_hold(plan: Ramp) -> float:
    return max(plan.hold_seconds, plan.shadow.hold_seconds if plan.shadow else 0.0)


def _no_traffic(requests_per_second: float | None) -> str:
    seen = "no live worker sends heartbeats"
    if requests_per_second is not None:
        seen = "the heartbeats of the last seconds report no requests"
    return (
        f"ramp: {seen}, so no step would get a verdict, and the ramp would be rolled back; start "
        "it when there is traffic, or with fit null (`--ignore-traffic`)"
    )


def _too_little(short: tuple[Shortfall, ...], requests_per_second: float, fitting: Ramp) -> str:
    steps = [_in_words(each, requests_per_second) for each in short[:STEPS_NAMED]]
    more = len(short) - len(steps)
    if more > 0:
        steps.append(f"{more} more steps are too short")
    change = f"hold_seconds {fitting.hold_seconds:g}"
    if fitting.shadow is not None:
        change += f" and shadow.hold_seconds {fitting.shadow.hold_seconds:g}"
    if _longest_hold(fitting) > LONGEST_HOLD_SECONDS:
        remedy = "start at a higher percentage, or allow wider limits"
    else:
        remedy = f"give {change}, or have it stretched with fit true (`--fit`)"
    return (
        f"ramp: {'; '.join(steps)}. It would be rolled back for want of evidence: {remedy}; fit "
        "null (`--ignore-traffic`) starts it as it is"
    )


def _in_words(short: Shortfall, requests_per_second: float) -> str:
    stage, whose = short.stage, "canary requests"
    what = f"the step of {stage.percentage:g} %"
    if stage.kind == "shadowing":
        what, whose = "the shadow", "comparisons"
    elif short.percentage < stage.percentage < 100:
        whose = "requests of the primary version"
    patience = "" if short.allowed_seconds == stage.hold_seconds else " with its patience"
    return (
        f"{what} needs {short.requests:,} {whose} ({short.guardrail}); at "
        f"{requests_per_second:,.3g}/s × {short.percentage:g} % that takes "
        f"{math.ceil(short.needed_seconds):,} s, the hold{patience} is {short.allowed_seconds:g} s"
    )
