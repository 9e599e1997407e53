"""``python -m ops.bench.ramp_simulation``: how often the guardrails roll a ramp back, and when.

Needs no Kafka: draws what a fleet would have counted by each second, and has
`registry.guardrails.verdicts` judge it each second. Knows the chances of what is drawn. Must not
know how evidence is weighed.

To judge each second of 1,000 ramps one by one would take a quarter of an hour. So all seconds are
looked at with numpy first, and only where a guardrail could fail is it asked. Of a rate, the
evidence that it weighs is the *least* over all chances that it allows: where one pair of them, near
the likeliest, is not refuted, it cannot fail.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.errors import ShapeError
from registry.guardrails.evidence import rank_bounds
from registry.guardrails.histogram import MAPPING, bucket_counts
from registry.guardrails.request_rates import RATES
from registry.guardrails.verdicts import judge
from registry.rollout.ramp_plan import alpha_of, patience_seconds, worst
from registry.wire.counts import ArmCounts
from registry.wire.ramp_values import Finding, Ramp

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

PLAN: Final = Ramp(steps=(1, 5, 25, 50, 100), hold_seconds=600, patience_seconds=600)
UNDECIDED: Final = "no evidence"
SPREAD: Final = 0.3
"""Standard deviation of the logarithm of scoring times: the 99th percentile is twice the median."""

PASS_EVERY: Final = 20
"""Seconds between two looks for a pass, once a step has been held: they only cost time."""

CELLS: Final = 30_000
"""Seconds of ramps that are drawn at once, so that memory stays within some 100 MB."""

ROUNDING: Final = 1e-6
"""By which the evidence that numpy finds may be too small."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a version does: shares of its requests, and its median scoring time in seconds."""

    errors: float = 0.002
    fallbacks: float = 0.02
    empty: float = 0.001
    scoring_seconds: float = 0.004


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests, users not seen before, and scoring times of each arm at most, a second."""

    requests: int = 1000
    users: int = 100
    timed: int = 20


@dataclass(frozen=True, slots=True)
class End:
    """How one ramp ended: None if it was promoted, else which guardrail failed (`UNDECIDED` if
    none, but the patience was over), in which second of a step, after how many canary requests.
    """

    guardrail: str | None = None
    second: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Arm:
    """Counts since the step began, int64 (runs, seconds); `scoring` (runs, seconds, buckets)."""

    requests: Counts
    users: Counts
    bad: dict[str, Counts]
    scoring: Counts
    first_bucket: int

    def at(self, run: int, second: int) -> ArmCounts:
        """Return what the fleet would report."""
        timed = self.scoring[run, second]
        return ArmCounts(
            variant="",
            version="",
            requests=int(self.requests[run, second]),
            users=int(self.users[run, second]),
            scoring={
                int(key) + self.first_bucket: int(timed[key]) for key in np.flatnonzero(timed)
            },
            errors=int(self.bad["errors"][run, second]),
            fallbacks=int(self.bad["fallbacks"][run, second]),
            empty=int(self.bad["empty"][run, second]),
        )

    def ended(self) -> Arm:
        """Return the counts of the last second, to be compared with those of any other."""
        return replace(
            self,
            requests=self.requests[:, -1:],
            bad={field: counts[:, -1:] for field, counts in self.bad.items()},
            scoring=self.scoring[:, -1:],
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One step of some ramps: what was counted, and how it is judged."""

    plan: Ramp
    percentage: float
    canary: Arm
    primary: Arm
    compare_users: bool

    def judged(self, run: int, second: int) -> tuple[Finding, ...]:
        """Return what the guardrails say of one ramp in one second."""
        of_baseline = not self.compare_users
        return judge(
            self.plan.guardrails,
            self.canary.at(run, second),
            self.primary.at(run, 0 if of_baseline else second),
            percentage=self.percentage,
            alpha=alpha_of(self.plan),
            min_requests=self.plan.min_requests,
            compare_users=self.compare_users,
        )

    def suspects(self) -> Mask:
        """Return the seconds that could fail: bool (runs, seconds)."""
        limits, alpha = self.plan.guardrails, alpha_of(self.plan)
        found = np.zeros(self.canary.requests.shape, dtype=np.bool_)
        for rate in RATES:
            margin = getattr(limits, rate.guardrail)
            if margin is not None:
                found |= _rate_suspects(self.canary, self.primary, rate.field, margin, alpha)
        if limits.latency_ratio is not None:
            ratio, share = limits.latency_ratio, limits.latency_quantile
            found |= _latency_suspects(self.canary, self.primary, ratio, share, alpha)
        if limits.sample_ratio and self.compare_users:
            users = self.canary.users + self.primary.users
            expected = np.float64(self.percentage / 100)
            found |= _log_e(self.canary.users, users, expected) >= _needed(alpha)
        return found


def simulate(
    canary: Version,
    primary: Version,
    *,
    runs: int,
    seed: int,
    plan: Ramp = PLAN,
    traffic: Traffic = Traffic(),
    only_failures: bool = False,
) -> tuple[End, ...]:
    """Run ramps, each judged every second, and return how they ended.

    Parameters
    ----------
    canary, primary
        What the two versions do.
    runs, seed
        How many ramps, and where chance starts.
    plan
        The ramp: a step lasts its hold, and then until it passes or the patience is over.
    traffic
        What comes each second.
    only_failures
        Whether each step goes on until the patience is over and then ends as if it had passed:
        for a canary at its limits, which never passes, and most looks at one that is good.

    Raises
    ------
    ShapeError
        If the plan starts with all users: nothing is there to compare them with.
    """
    if plan.steps[0] == 100:
        raise ShapeError("steps start at 100 %: a simulated ramp needs a step with two arms first")
    random = np.random.default_rng(seed)
    at_once = max(1, CELLS // _seconds(plan))
    ends: list[End] = []
    for start in range(0, runs, at_once):
        batch = [End() for _ in range(min(at_once, runs - start))]
        for step in drawn_steps(random, canary, primary, plan, traffic, len(batch)):
            suspects = step.suspects()
            for run, end in enumerate(batch):
                if end.guardrail is None:
                    batch[run] = _after(step, run, suspects[run], only_failures)
        ends += batch
    return tuple(ends)


def drawn_steps(
    random: np.random.Generator,
    canary: Version,
    primary: Version,
    plan: Ramp,
    traffic: Traffic,
    runs: int,
) -> Iterator[Step]:
    """Draw one step after the other; a step of all users is compared with the one before."""
    shape = (runs, _seconds(plan))
    first_bucket, shares = _bucket_shares((canary.scoring_seconds, primary.scoring_seconds))
    control: Arm | None = None
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
            arms.append(Arm(so_far, seen_so_far, bad, timed, first_bucket))
        if percentage < 100 or control is None:
            control = arms[1]
            yield Step(plan, percentage, arms[0], control, compare_users=True)
        else:
            yield Step(plan, percentage, arms[0], control.ended(), compare_users=False)


def _after(step: Step, run: int, suspect: NDArray[np.bool_], only_failures: bool) -> End:
    """Return how a ramp stands after a step that could fail where `suspect` says."""
    last = len(suspect)
    held = int(step.plan.hold_seconds)
    passes = set() if only_failures else {*range(held - 1, last, PASS_EVERY), last - 1}
    for second in sorted({*np.flatnonzero(suspect).tolist(), *passes}):
        findings = step.judged(run, second)
        requests = int(step.canary.requests[run, second])
        for one in findings:
            if one.verdict == "fail":
                return End(one.guardrail, second + 1, requests)
        if second in passes and worst(findings) == "pass":
            return End()
    return End() if only_failures else End(UNDECIDED, last, int(step.canary.requests[run, -1]))


def _seconds(plan: Ramp) -> int:
    return int(plan.hold_seconds + patience_seconds(plan))


def _bucket_shares(medians: Sequence[float]) -> tuple[int, list[Floats]]:
    """Return the first bucket, and for each median the share of scoring times by bucket."""
    shape = np.exp(SPREAD * np.random.default_rng(0).standard_normal(100_000))
    histograms = [bucket_counts(median * shape) for median in medians]
    first = min(map(min, histograms))
    shares = [np.zeros(max(map(max, histograms)) - first + 1) for _ in medians]
    for share, histogram in zip(shares, histograms, strict=True):
        for bucket, count in histogram.items():
            share[bucket - first] = count / len(shape)
    return first, shares


def _rate_suspects(canary: Arm, primary: Arm, field: str, margin: float, alpha: float) -> Mask:
    """Weigh the evidence at the pair of chances next to the counts, by least squares."""
    bad, count = canary.bad[field], canary.requests
    other_bad, other_count = primary.bad[field], primary.requests
    pooled = (bad + other_bad - margin * count) / (count + other_count)
    chance = np.clip(pooled, 0.0, 1.0 - margin)
    log_e = _log_e(bad, count, chance + margin) + _log_e(other_bad, other_count, chance)
    worse = bad * other_count > (other_bad + margin * other_count) * count
    suspects: Mask = worse & (log_e >= _needed(alpha))
    return suspects


def _latency_suspects(canary: Arm, primary: Arm, ratio: float, share: float, alpha: float) -> Mask:
    """Compare the quantiles' bounds by bucket; `ratio` is rounded down to whole buckets."""
    slow, fast = canary.scoring.cumsum(axis=2), primary.scoring.cumsum(axis=2)
    least = _ranks(slow[..., -1], share, alpha)[..., 0]
    most = _ranks(fast[..., -1], share, alpha)[..., 1]
    buckets = math.floor(math.log(ratio) / math.log(MAPPING.gamma))
    upper = (fast <= most[..., None]).sum(axis=2) + buckets
    within = np.broadcast_to(upper, least.shape) < slow.shape[2]
    place = np.where(within, upper, 0)[..., None]
    below = np.take_along_axis(slow, place, axis=2)[..., 0]
    suspects: Mask = within & (below < least)
    return suspects


def _ranks(counts: Counts, share: float, alpha: float) -> Counts:
    """Return `rank_bounds` of each count: int64 (..., 2)."""
    present, places = np.unique(counts, return_inverse=True)
    bounds = [_rank_bounds(int(count), share, alpha) for count in present]
    return np.array(bounds, dtype=np.int64)[places.reshape(counts.shape)]


_rank_bounds = lru_cache(maxsize=None)(
    lambda count, share, alpha: rank_bounds(count, share, alpha / 2) if count else (0, 0)
)


def _needed(alpha: float) -> float:
    return -math.log(alpha) - ROUNDING


def _log_e(total: Counts, count: Counts, mean: Floats | np.float64) -> Floats:
    """Return what `registry.guardrails.evidence.log_e_value` does, of arrays."""
    halves, wholes = _log_gammas(int(count.max()).bit_length())
    missing = count - total
    mixed = halves[total] + halves[missing] - wholes[count] - math.log(math.pi)
    log_e: Floats = mixed - _times_log(total, mean) - _times_log(missing, 1 - mean)
    return log_e


def _times_log(weight: Counts, value: Floats | np.float64) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, weight * np.log(value), 0.0)


@lru_cache(maxsize=4)
def _log_gammas(bits: int) -> tuple[Floats, Floats]:
    """Return log Γ(k + ½) and log Γ(k + 1) for k of 0..2^bits."""
    k = np.arange(2**bits)
    halves = math.lgamma(0.5) + np.concatenate(([0.0], np.log(k + 0.5).cumsum()))
    return halves, np.concatenate(([0.0], np.log(k + 1.0).cumsum()))


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
    """Return the share of ramps that were rolled back."""
    return sum(end.guardrail is not None for end in ends) / len(ends)


def report(name: str, ends: Sequence[End]) -> str:
    """Return one line on how the ramps of one canary ended."""
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
    """Simulate `runs` ramps of each kind of canary and print the rates."""
    steps = ", ".join(f"{step:g}" for step in PLAN.steps)
    print(
        f"{runs:,} ramps each: {steps} %, {PLAN.hold_seconds:g} s a step, judged every second, "
        f"{Traffic().requests} requests/s, false_alarm {PLAN.false_alarm:.0%}"
    )
    for name, canary, only_failures in (
        ("as good as the primary", GOOD, False),
        ("as good, looked at for twice as long", GOOD, True),
        ("as bad as is allowed, failures only", AT_THE_LIMITS, True),
        ("fails 5 % of requests", FAILING, False),
        ("3x slower", SLOW, False),
    ):
        ends = simulate(canary, GOOD, runs=runs, seed=seed, only_failures=only_failures)
        print(report(name, ends), flush=True)


if __name__ == "__main__":
    main()
