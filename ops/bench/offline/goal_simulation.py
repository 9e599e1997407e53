"""``python -m ops.bench.offline.goal_simulation``: ramps with a goal, decided by simulated users.

Needs no Kafka. Users of a known taste close their windows one after the other, some of them heavy;
the ramp's own decision (`registry.rollout.ramp_decision.next_commands`) looks at the sums all the
time, and its commands say what became of it. Arms are 50/50 by the real assignment.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from registry.outcomes.users_needed import users_needed
from registry.rollout.assignment import assign
from registry.rollout.command_log import ControlLog
from registry.rollout.ramp_decision import next_commands
from registry.wire.commands import Promote
from registry.wire.counts import ArmCounts
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant
from registry.wire.outcome_records import ArmSums, PartitionSums, sums_of_user
from registry.wire.ramp_values import Goal, Ramp, RampState
from registry.wire.rollout_state import RolloutState

Fate: TypeAlias = Literal["promoted", "rolled back", "undecided"]

BASELINE: Final = 0.4
"""Conversion of the primary's users."""

BEGAN: Final = Instant.of(1_767_225_600.0)
USERS_PER_SECOND: Final = 50
"""Windows that close in a simulated second; with a hold of a minute, the earliest promotion has
3,000 users."""

REQUESTS: Final = 100_000
"""Of each arm, all of them technically fine."""

PLAN: Final = Ramp(
    steps=(50.0,),
    hold_seconds=60,
    goal=Goal("conversion", patience_seconds=31_536_000),
)


@dataclass(frozen=True, slots=True)
class SimulatedRamp:
    """What became of one ramp, and after how many users."""

    fate: Fate
    users: int


def simulate_ramp(
    effect: float, seed: int, most_users: int, plan: Ramp = PLAN, looks_apart: int = 250
) -> SimulatedRamp:
    """Simulate one ramp.

    Parameters
    ----------
    effect
        Of the canary version on conversion, relative.
    seed
        Of users and tastes.
    most_users
        After which it is given up as undecided, as its patience would.
    plan
        With one step below 100 %.
    looks_apart
        Users whose windows close between two looks.
    """
    rng = np.random.default_rng(seed)
    state = _state(plan, salt=str(seed))
    sums = {"primary": ArmSums(), "canary": ArmSums()}
    conversion = {"primary": BASELINE, "canary": BASELINE * (1 + effect)}
    for seen in range(looks_apart, most_users + 1, looks_apart):
        draws = rng.random(looks_apart).tolist()
        exposures = np.minimum(np.ceil(rng.pareto(1.3, looks_apart) + 1), 300).astype(int).tolist()
        for place in range(looks_apart):
            variant = assign(seen + place, state).variant
            converts = draws[place] < conversion[variant]
            # who converts has outcomes with some of his answers; heavy users have many of both
            outcomes = rng.integers(1, exposures[place] + 1) if converts else 0
            user = sums_of_user(float(outcomes), exposures[place])
            sums[variant] = sums[variant].add(user)
        now = BEGAN.timestamp() + seen / USERS_PER_SECOND
        commands = next_commands(ControlLog(7, state), (_heartbeat(sums, now),), now)
        if commands:
            fate: Fate = "promoted" if isinstance(commands[0], Promote) else "rolled back"
            return SimulatedRamp(fate, seen)
    return SimulatedRamp("undecided", most_users)


def _state(plan: Ramp, salt: str) -> RolloutState:
    ramp = RampState(plan, "simulated", 1, BEGAN, version="v0.2")
    return RolloutState(
        "production", 7, "canary", "v0.1", "v0.2", plan.steps[0], "hash", salt, ramp=ramp
    )


def _heartbeat(sums: dict[str, ArmSums], now: float) -> Heartbeat:
    return Heartbeat(
        "w1",
        "w1@start",
        "production",
        at=now,
        epoch=7,
        ready=("v0.1", "v0.2"),
        arms=(
            ArmCounts("primary", "v0.1", REQUESTS, users=5_000, scoring={-172: REQUESTS}),
            ArmCounts("canary", "v0.2", REQUESTS, users=5_000, scoring={-172: REQUESTS}),
        ),
        outcomes=(
            PartitionSums(7, 0, "primary", sums["primary"]),
            PartitionSums(7, 0, "canary", sums["canary"]),
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what became of the ramps; 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.offline.goal_simulation")
    parser.add_argument("--ramps", type=int, default=20)
    parser.add_argument("--most-users", type=int, default=60_000)
    parser.add_argument("--effect", type=float, default=0.1)
    chosen = parser.parse_args(arguments)
    held = True
    for effect, wanted in ((chosen.effect, "promoted"), (0.0, ""), (-chosen.effect, "rolled back")):
        ramps = [simulate_ramp(effect, seed, chosen.most_users) for seed in range(chosen.ramps)]
        counts = {
            fate: sum(ramp.fate == fate for ramp in ramps)
            for fate in ("promoted", "rolled back", "undecided")
        }
        users = [ramp.users for ramp in ramps if ramp.fate == wanted]
        took = f", median {statistics.median(users):,.0f} users" if users else ""
        once = users_needed(BASELINE, effect).one_look if effect else None
        beside = "" if once is None else f" (a test of one look at its end: {once:,})"
        print(f"B {effect:+.0%}: {counts}{took}{beside}")
        most_false = math.ceil(0.05 * chosen.ramps)
        held &= counts[wanted] == chosen.ramps if wanted else counts["promoted"] <= most_false
    print("as claimed" if held else "NOT as claimed")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
