"""``bench route``: what it costs to find out who answers a request.

No Kafka: `registry.rollout.assignment.assign` and the worker's
`streams.serving.routing.route`, in a plain loop whose own cost is left in. Knows the states that
are tried; must not know how assignment works.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import at_most
from registry.ids import UserId
from registry.rollout.assignment import assign
from registry.wire.field_types import Bucketing
from registry.wire.rollout_state import RolloutState
from streams.serving.routing import RoutingRules, route

REQUESTS: Final = 200_000
QUICK_REQUESTS: Final = 2_000
ROUNDS: Final = 7
BAR_MICROSECONDS: Final = 2.0

READY: Final = frozenset({"v0.1", "v0.2"})


def measure(requests: int) -> Measured:
    """Time `requests` calls of each kind, several rounds of them."""
    rows: list[dict[str, Cell]] = []
    bars = []
    for name, users, state in _cases(requests):
        rules = RoutingRules(state, state, READY, lease_holds=True)
        assigning = _microseconds(assign, users, state)
        rows.append(
            {
                "bucketing": name,
                "assign, µs": assigning,
                "route, µs": _microseconds(route, users, rules),
            }
        )
        bars.append(at_most(f"µs for one assignment, {name}", assigning, BAR_MICROSECONDS))
    return Measured(
        parameters={"requests": requests, "rounds": ROUNDS},
        rows=rows,
        bars=bars,
        notes=["Medians of the rounds, with the loop around the call."],
    )


def _cases(requests: int) -> list[tuple[str, Sequence[UserId], RolloutState]]:
    def canary(bucketing: Bucketing) -> RolloutState:
        return RolloutState(
            "production", 7, "canary", "v0.1", "v0.2", 10.0, bucketing=bucketing, salt="bench"
        )

    numbers = range(1, requests + 1)
    return [
        ("modulo", numbers, canary("modulo")),
        ("hash", numbers, canary("hash")),
        ("hash, string ids", [f"user-{number}" for number in numbers], canary("hash")),
        ("none (fixed)", numbers, RolloutState("production", 7, "fixed", "v0.1")),
    ]


def _microseconds(call: Callable[[UserId, Any], object], users: Sequence[UserId], by: Any) -> float:
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for user in users:
            call(user, by)
        rounds.append((time.perf_counter() - started) * 1e6 / len(users))
    return statistics.median(rounds)
