"""``python -m ops.bench.outcome_simulation``: false alarms and power of the outcome verdicts, and
the users that an A/B test and an interleaving need for the same preference.

Needs no Kafka. Simulates experiments with heavy users, checked after every closed user, without
a difference (A/A) and with one, and counts how often each method claims one. Whoever looks every
second looks at some of these moments only, and so claims no more. The negative control, which takes
requests for independent, must claim far too many.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betaincinv

from ops.bench.offline.simulated_tastes import Tastes, draw_pool, users_to_find
from ops.bench.offline.simulated_users import Population, draw_users, look_at_every_user

USERS_AT_ONCE: Final = 500_000
"""Users of the experiments that are evaluated at once: some 200 MB."""

CONFIDENCE: Final = 0.99

SMALL_EFFECT: Final = 0.1
"""Of which the power is shown, with ten times the users in a tenth of the experiments."""


@dataclass(frozen=True, slots=True)
class Claims:
    """How often one method claimed a difference.

    Parameters
    ----------
    method
        Which.
    claimed, experiments
        In how many of how many.
    median_users
        After how many closed users, of those that did; None without any.
    """

    method: str
    claimed: int
    experiments: int
    median_users: int | None

    @property
    def interval(self) -> tuple[float, float]:
        """The exact interval (Clopper and Pearson) of the rate, at 99 %."""
        tail = (1 - CONFIDENCE) / 2
        low = betaincinv(self.claimed, self.experiments - self.claimed + 1, tail)
        high = betaincinv(self.claimed + 1, self.experiments - self.claimed, 1 - tail)
        return (
            float(low) if self.claimed else 0.0,
            float(high) if self.claimed < self.experiments else 1.0,
        )


def simulate(
    experiments: int,
    users: int,
    effect: float,
    alpha: float,
    seed: int,
    population: Population | None = None,
) -> dict[str, Claims]:
    """Simulate experiments, and return the claims of each method by its name.

    Parameters
    ----------
    experiments, users
        How many, with how many users each, both arms together.
    effect
        Of the canary, relative, on every user's probability of an outcome.
    alpha
        Nominal rate of false alarms.
    seed
        Of the draws.
    population
        Who takes part; None: with heavy users.
    """
    rng = np.random.default_rng(seed)
    first: dict[str, list[int]] = {}
    at_once = max(1, USERS_AT_ONCE // users)
    for begin in range(0, experiments, at_once):
        shape = min(at_once, experiments - begin), users
        drawn = draw_users(population or Population(), shape, effect, rng)
        for method, places in look_at_every_user(drawn, alpha)._asdict().items():
            first.setdefault(method, []).extend(int(at) for at in places)
    return {
        method: Claims(method, len(hits), experiments, int(np.median(hits)) + 1 if hits else None)
        for method, places in first.items()
        for hits in ([at for at in places if at >= 0],)
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a claim about false alarms does not hold."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.outcome_simulation")
    parser.add_argument("--experiments", type=int, default=2_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--effect", type=float, default=0.3)
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--tasters", type=int, default=20_000, help="users with a simulated taste")
    chosen = parser.parse_args(arguments)
    held = True
    for effect, times, users in (
        (0.0, chosen.experiments, chosen.users),
        (chosen.effect, chosen.experiments, chosen.users),
        (SMALL_EFFECT, max(1, chosen.experiments // 10), 10 * chosen.users),
    ):
        kind = f"B better by {effect:.0%}" if effect else "A/A"
        print(f"{kind}: {times:,} experiments of {users:,} users")
        found = simulate(times, users, effect, chosen.alpha, chosen.seed)
        for claims in found.values():
            low, high = claims.interval
            at = f", half of them within {claims.median_users:,} users" if claims.claimed else ""
            print(
                f"  {claims.method:<11} {claims.claimed / claims.experiments:7.2%} claim a "
                f"difference [{low:.2%}, {high:.2%}]{at}"
            )
            if not effect:
                exceeds = low > chosen.alpha
                held &= exceeds if claims.method == "naive" else not exceeds
    held &= _print_needed(chosen.seed, chosen.alpha, chosen.tasters)
    print("as claimed" if held else "NOT as claimed", f"at a nominal rate of {chosen.alpha:.0%}")
    return 0 if held else 1


TASTES: Final[dict[str, Tastes]] = {
    "take what they like best": Tastes(),
    "often take another": Tastes(whim=1.0, threshold=6.0),
}
"""Users of whom 40 % convert under version A."""

INTERLEAVING_SHARE: Final = 0.1
"""Most users that an interleaving may need, of those of an A/B test."""


def _print_needed(seed: int, alpha: float, tasters: int) -> bool:
    """Print what an A/B test and an interleaving need; tell whether the latter needs little."""
    print("users needed to find B better in 80 % of experiments, looked at after every user:")
    print(f"  {'users who':<25}{'A converts':>11}{'B':>8}{'conversion':>12}"
          f"{'per exposure':>14}{'interleaving':>14}")  # fmt: skip
    held = True
    for name, tastes in TASTES.items():
        rng = np.random.default_rng(seed)
        pool = draw_pool(tastes, tasters, rng)
        a, b = pool.conversion(0), pool.conversion(1)
        needed = users_to_find(pool, 100, 60_000, alpha, 0.8, rng)
        shown = [f"{users:,}" if users else "> 60,000" for users in needed]
        print(f"  {name:<25}{a:>11.1%}{b:>8.1%}{shown[0]:>12}{shown[1]:>14}{shown[2]:>14}")
        least = min(needed.conversion or 60_000, needed.ratio or 60_000)
        held &= (needed.interleaving or 60_000) <= INTERLEAVING_SHARE * least
    return held


if __name__ == "__main__":
    sys.exit(main())
