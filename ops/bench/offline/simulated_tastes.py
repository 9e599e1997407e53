"""Simulated users with a taste, shown by an A/B test or by interleaving which of two versions is
better.

Each answer ranks a catalogue that a user finds appealing, item by item; a version sees the appeal
with an error, and the better one with a smaller error. The user takes the item that appeals most to
him at that moment, or leaves if nothing reaches his threshold. Users differ in that threshold far
more than the versions do for one user: that is what an A/B test has to see through, and an
interleaving does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ops.bench.offline.simulated_users import MOST_EXPOSURES, Floats, Users, look_at_every_user
from registry.guardrails.evidence import Sample, log_e_value
from registry.interleaving.team_draft import draft

K: Final = 10
"""Items of an answer."""

CATALOGUE: Final = 100
"""Items of which a version takes the best, as it sees them."""

ANSWERS_AT_ONCE: Final = 20_000
"""Some 100 MB."""


@dataclass(frozen=True, slots=True)
class Tastes:
    """Who is asked.

    Parameters
    ----------
    errors
        Standard deviations of the versions' errors, A's and B's; that of the appeal is 1.
    whim
        Scale of what differs from one moment to the next (Gumbel): 0 for users who always take what
        appeals most to them.
    threshold, spread
        Mean and standard deviation, over users, of what an item must reach.
    """

    errors: tuple[float, float] = (2.0, 1.0)
    whim: float = 0.5
    threshold: float = 4.25
    spread: float = 2.5


class Pool(NamedTuple):
    """Users, each under A, under B and under both, interleaved.

    ``x`` are outcomes by version, shape (2, users), ``y`` answers; ``lead`` is the outcomes with
    B's items less those with A's, of the mixed answers.
    """

    x: Floats
    y: Floats
    lead: Floats

    def conversion(self, version: int) -> float:
        """Return the share of users with an outcome under version 0 (A) or 1 (B)."""
        return float((self.x[version] > 0).mean())


def draw_pool(tastes: Tastes, users: int, rng: np.random.Generator) -> Pool:
    """Draw users, some of them heavy, and what each does with the lists of A, of B and of both."""
    exposures = np.ceil(2 * (rng.pareto(1.3, users) + 0.5))
    y = np.minimum(exposures, MOST_EXPOSURES).astype(np.int64)
    thresholds = rng.normal(tastes.threshold, tastes.spread, users)
    whose = np.repeat(np.arange(users), y)
    x, lead = np.zeros((2, users)), np.zeros(users)
    for begin in range(0, len(whose), ANSWERS_AT_ONCE):
        of = whose[begin : begin + ANSWERS_AT_ONCE]
        shape = len(of), CATALOGUE
        appeal = rng.standard_normal(shape)
        lists = [
            np.argsort(-(appeal + error * rng.standard_normal(shape)), axis=1)[:, :K]
            for error in tastes.errors
        ]
        appeal += tastes.whim * rng.gumbel(size=shape)  # what counts now
        needed = thresholds[of] + tastes.whim * rng.gumbel(size=len(of))
        for version, shown in enumerate(lists):
            best = np.take_along_axis(appeal, shown, axis=1).max(axis=1)
            np.add.at(x[version], of, best > needed)
        np.add.at(lead, of, _leads(lists, appeal, needed, rng))
    return Pool(x, y.astype(np.float64), lead)


def _leads(
    lists: list[NDArray[np.intp]], appeal: Floats, needed: Floats, rng: np.random.Generator
) -> Floats:
    """Return who gets the credit for each mixed answer: 1 for B, -1 for A, 0 for nobody."""
    coins = (rng.random((len(needed), K)) < 0.5).tolist()
    rows = zip(lists[0].tolist(), lists[1].tolist(), coins, strict=True)
    leads = np.zeros(len(needed))
    for place, (of_a, of_b, own) in enumerate(rows):
        picks = draft(of_a, of_b, K, iter(own))
        reached = appeal[place, [int(pick.item_id) for pick in picks]]
        best = int(reached.argmax())
        if reached[best] > needed[place]:
            leads[place] = {"canary": 1, "primary": -1}.get(picks[best].team or "", 0)
    return leads


class Needed(NamedTuple):
    """Users after which a share of the experiments has found B better; None: more than tried."""

    conversion: int | None
    ratio: int | None
    interleaving: int | None


def users_to_find(
    pool: Pool,
    experiments: int,
    most_users: int,
    alpha: float,
    power: float,
    rng: np.random.Generator,
) -> Needed:
    """Return the users that each method needs, checked after every user.

    Parameters
    ----------
    pool
        Whom users are drawn from, with replacement.
    experiments, most_users
        How many, of at most how many users each, both arms together.
    alpha
        Of each method, both sides together.
    power
        Share of the experiments that must have found it.
    rng
        Of the draws.
    """
    firsts: list[tuple[NDArray[np.int64], ...]] = []
    for _ in range(experiments):
        drawn = rng.integers(0, len(pool.y), (1, most_users))
        in_canary = rng.random(drawn.shape) < 0.5
        x = np.where(in_canary, pool.x[1][drawn], pool.x[0][drawn])
        alarms = look_at_every_user(Users(x, pool.y[drawn], in_canary), alpha)
        found = _first_preference(pool.lead[drawn[0]], alpha)
        firsts.append((alarms.conversion, alarms.ratio, np.array([found])))
    return Needed(
        *(_by_power([int(own[method][0]) for own in firsts], power) for method in range(3))
    )


def _first_preference(lead: Floats, alpha: float) -> int:
    """Return the user after whom a preference for B is proven; -1: none is."""
    needed, wins, losses = -math.log(alpha), 0, 0
    for place, sign in enumerate(np.sign(lead).tolist()):
        wins, losses = wins + (sign > 0), losses + (sign < 0)
        leads = sign > 0 and wins > losses
        if leads and log_e_value(Sample(wins, wins + losses), 0.5) >= needed:
            return place
    return -1


def _by_power(firsts: list[int], power: float) -> int | None:
    """Return after how many users the share `power` has found it."""
    found = sorted(at + 1 for at in firsts if at >= 0)
    wanted = math.ceil(power * len(firsts))
    return found[wanted - 1] if len(found) >= wanted else None
