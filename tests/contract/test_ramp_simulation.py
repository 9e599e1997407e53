"""What guardrails promise of whole ramps, in hundreds of them: seconds of work, and no Kafka.

16 looks a step; `python -m ops.bench.ramp_simulation` has 1,200.
"""

from __future__ import annotations

import msgspec
import pytest

from ops.bench.offline.ramp_counts import SimulatedTraffic, Version
from ops.bench.ramp_simulation import (
    FAILING,
    GOOD,
    SLOW,
    report,
    rolled_back,
    simulate,
)
from registry.wire.ramp_values import Ramp

LOOKS = Ramp(steps=(1, 5, 25, 50, 100), hold_seconds=8, patience_seconds=8)
BUSY = SimulatedTraffic(requests=40_000, users=1000, timed=100)


def test_a_version_as_good_is_rolled_back_less_often_than_the_plan_allows() -> None:
    ends = simulate(GOOD, GOOD, runs=500, seed=1, plan=LOOKS, traffic=BUSY, only_failures=True)

    assert rolled_back(ends) <= LOOKS.false_alarm, report("as good", ends)


def test_twenty_ramps_of_a_version_as_good_are_all_promoted() -> None:
    ends = simulate(GOOD, GOOD, runs=20, seed=2, plan=LOOKS, traffic=BUSY)

    assert rolled_back(ends) == 0, report("as good", ends)


@pytest.mark.parametrize(
    ("canary", "guardrail", "most"), [(FAILING, "error_rate", 1500), (SLOW, "latency_ratio", 500)]
)
def test_a_worse_version_is_found_within_so_many_requests(
    canary: Version, guardrail: str, most: int
) -> None:
    few = SimulatedTraffic(requests=2000, users=200, timed=20)
    plan = msgspec.structs.replace(LOOKS, hold_seconds=100, patience_seconds=0)

    ends = simulate(canary, GOOD, runs=20, seed=4, plan=plan, traffic=few)

    assert {end.guardrail for end in ends} == {guardrail}
    assert max(end.requests for end in ends) <= most, report(guardrail, ends)
