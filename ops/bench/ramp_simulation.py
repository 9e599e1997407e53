"""``python -m ops.bench.ramp_simulation``: how often the guardrails roll a ramp back, and when.

Needs no Kafka: draws what a fleet would have counted by each second
(`ops.bench.offline.ramp_counts`), and has `registry.guardrails.verdicts` judge it. Judging every
second of 1,000 ramps would take a quarter of an hour, so the guardrails are asked only about the
seconds in which one could fail (`ops.bench.offline.failure_screen`).
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ops.bench.offline.failure_screen import possible_failures
from ops.bench.offline.ramp_counts import SimulatedArm, SimulatedTraffic, Version, bucket_shares
from registry.errors import ShapeError
from registry.guardrails import verdicts
from registry.guardrails.rate_guardrails import RATES
from registry.guardrails.verdicts import worst
from registry.ramp_plans.false_alarm import alpha_of
from registry.ramp_plans.ramp_durations import patience_seconds
from registry.wire.ramp_values import Finding, Ramp

PLAN: Final = Ramp(steps=(1, 5, 25, 50, 100), hold_seconds=600, patience_seconds=600)
TRAFFIC: Final = SimulatedTraffic()
UNDECIDED: Final = "no evidence"

PASS_EVERY: Final = 20
"""Seconds between two checks for a pass after the hold; more checks would only cost time."""

CELLS: Final = 30_000
"""Seconds of ramps that are drawn at once: it limits memory to some 100 MB."""


@dataclass(frozen=True, slots=True)
class End:
    """How a ramp ended: which guardrail failed, in which second, after how many canary requests.

    The guardrail is None if the version was promoted, `UNDECIDED` if the patience ran out.
    """

    guardrail: str | None = None
    second: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class SimulatedStep:
    """One step of several ramps: what was counted, and how it is judged."""

    plan: Ramp
    percentage: float
    canary: SimulatedArm
    primary: SimulatedArm
    compare_users: bool

    def judge(self, run: int, second: int) -> tuple[Finding, ...]:
        """Return the guardrails' findings on one ramp in one second."""
        of_baseline = not self.compare_users
        return verdicts.judge(
            self.plan.guardrails,
            self.canary.at(run, second),
            self.primary.at(run, 0 if of_baseline else second),
            percentage=self.percentage,
            alpha=alpha_of(self.plan),
            min_requests=self.plan.min_requests,
            compare_users=self.compare_users,
        )

    def suspects(self) -> NDArray[np.bool_]:
        """Return the seconds in which a guardrail could fail: bool (runs, seconds)."""
        return possible_failures(
            self.canary, self.primary, self.plan, self.percentage, compare_users=self.compare_users
        )


def simulate(
    canary: Version,
    primary: Version,
    *,
    runs: int,
    seed: int,
    plan: Ramp = PLAN,
    traffic: SimulatedTraffic = TRAFFIC,
    only_failures: bool = False,
) -> tuple[End, ...]:
    """Simulate ramps, each judged every second, and return how they ended.

    Parameters
    ----------
    canary, primary
        How the two versions behave.
    runs, seed
        The number of ramps, and the seed of the random generator.
    plan
        The ramp: a step lasts for its hold, and then until it passes or the patience runs out.
    traffic
        The traffic of each second.
    only_failures
        Whether each step lasts until the patience runs out and then counts as passed: for a canary
        at its limits, which never passes, and for as many judgements as possible of a good one.

    Raises
    ------
    ShapeError
        If the plan starts with all users: there is nothing to compare them with.
    """
    if plan.steps[0] == 100:
        raise ShapeError("steps start at 100 %: a simulated ramp must start with two arms")
    random = np.random.default_rng(seed)
    at_once = max(1, CELLS // _seconds(plan))
    ends: list[End] = []
    for start in range(0, runs, at_once):
        batch = [End() for _ in range(min(at_once, runs - start))]
        for step in draw_steps(random, canary, primary, plan, traffic, len(batch)):
            suspects = step.suspects()
            for run, end in enumerate(batch):
                if end.guardrail is None:
                    batch[run] = _after(step, run, suspects[run], only_failures)
        ends += batch
    return tuple(ends)


def draw_steps(
    random: np.random.Generator,
    canary: Version,
    primary: Version,
    plan: Ramp,
    traffic: SimulatedTraffic,
    runs: int,
) -> Iterator[SimulatedStep]:
    """Draw one step after the other; a step of all users is compared with the previous step."""
    shape = (runs, _seconds(plan))
    first_bucket, shares = bucket_shares((canary.scoring_seconds, primary.scoring_seconds))
    control: SimulatedArm | None = None
    for percentage in plan.steps:
        arms = []
        requests = random.binomial(traffic.requests, percentage / 100, shape)
        users = random.binomial(traffic.users, percentage / 100, shape)
        for version, share, answered, seen in (
            (canary, shares[0], requests, users),
            (primary, shares[1], traffic.requests - requests, traffic.users - users),
        ):
            bad = {
                rate.field: random.binomial(answered, getattr(version, rate.field)).cumsum(axis=1)
                for rate in RATES
            }
            timed = random.multinomial(np.minimum(answered, traffic.timed), share).cumsum(axis=1)
            so_far, seen_so_far = answered.cumsum(axis=1), seen.cumsum(axis=1)
            arms.append(SimulatedArm(so_far, seen_so_far, bad, timed, first_bucket))
        if percentage < 100 or control is None:
            control = arms[1]
            yield SimulatedStep(plan, percentage, arms[0], control, compare_users=True)
        else:
            yield SimulatedStep(
                plan, percentage, arms[0], control.last_second(), compare_users=False
            )


def _after(step: SimulatedStep, run: int, suspect: NDArray[np.bool_], only_failures: bool) -> End:
    """Return the state of a ramp after a step that can fail only in the seconds of `suspect`."""
    last = len(suspect)
    held = int(step.plan.hold_seconds)
    passes = set() if only_failures else {*range(held - 1, last, PASS_EVERY), last - 1}
    for second in sorted({*np.flatnonzero(suspect).tolist(), *passes}):
        findings = step.judge(run, second)
        requests = int(step.canary.requests[run, second])
        for finding in findings:
            if finding.verdict == "fail":
                return End(finding.guardrail, second + 1, requests)
        if second in passes and worst(findings) == "pass":
            return End()
    return End() if only_failures else End(UNDECIDED, last, int(step.canary.requests[run, -1]))


def _seconds(plan: Ramp) -> int:
    return int(plan.hold_seconds + patience_seconds(plan))


GOOD: Final = Version()
AT_THE_LIMITS: Final = Version(
    errors=GOOD.errors + 0.01,
    fallbacks=GOOD.fallbacks + 0.05,
    empty=GOOD.empty + 0.01,
    scoring_seconds=GOOD.scoring_seconds * 2,
)
FAILING: Final = replace(GOOD, errors=0.05)
SLOW: Final = replace(GOOD, scoring_seconds=GOOD.scoring_seconds * 3)


def rolled_back(ends: Sequence[End]) -> float:
    """Return the share of ramps that rolled back."""
    return sum(end.guardrail is not None for end in ends) / len(ends)


def report(name: str, ends: Sequence[End]) -> str:
    """Return one line about how the ramps of a canary ended."""
    back = [end for end in ends if end.guardrail is not None]
    line = f"{name}: {len(back):,} of {len(ends):,} rolled back ({rolled_back(ends):.2%})"
    if not back:
        return line
    by = Counter(end.guardrail for end in back).most_common()
    seconds = statistics.median(end.second for end in back)
    requests = statistics.median(end.requests for end in back)
    return (
        f"{line}, by {', '.join(f'{guardrail} {count:,}' for guardrail, count in by)}; "
        f"median after {seconds:,.0f} s of a step and {requests:,.0f} requests of the canary"
    )


def main(runs: int = 500, seed: int = 1) -> None:
    """Simulate `runs` ramps of each kind of canary, and print the rates."""
    steps = ", ".join(f"{step:g}" for step in PLAN.steps)
    print(
        f"{runs:,} ramps each: {steps} %, {PLAN.hold_seconds:g} s a step, judged every second, "
        f"{TRAFFIC.requests} requests/s, false_alarm {PLAN.false_alarm:.0%}"
    )
    for name, canary, only_failures in (
        ("as good as the primary", GOOD, False),
        ("as good, judged for twice as long", GOOD, True),
        ("exactly at the limits, failures only", AT_THE_LIMITS, True),
        ("fails 5 % of requests", FAILING, False),
        ("3x slower", SLOW, False),
    ):
        ends = simulate(canary, GOOD, runs=runs, seed=seed, only_failures=only_failures)
        print(report(name, ends), flush=True)


if __name__ == "__main__":
    main()
