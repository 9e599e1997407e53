"""Comparison: how far two versions agree on one request. Pure; knows items and their order only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from registry.ids import ItemId
from registry.wire.responses import Item

PERSISTENCE: Final = 0.9
"""``p`` of rank-biased overlap: a reader continues from one item to the next with this probability.
At 0.9 the first ten items carry 86 % of the weight. Another value makes another measure: figures
from before and after a change could not be compared."""


class Compared(NamedTuple):
    """How far two answers agree; the fields are those of a `ShadowComparison`."""

    overlap: float
    rank_biased_overlap: float
    score_shift: float


def compare(primary: Sequence[Item], canary: Sequence[Item]) -> Compared:
    """Compare two answers to one request.

    ``overlap = |P ∩ C| / |P|``; rank-biased overlap with ``p`` = 0.9;
    ``score_shift = mean score of C - mean score of P``.

    Parameters
    ----------
    primary, canary
        The items of each version, best first, each item once. Two empty answers agree: (1, 1, 0);
        one that is empty and one that is not do not: (0, 0, 0).

    Examples
    --------
    >>> compare([Item(1, 0.75), Item(2, 0.5)], [Item(1, 0.5), Item(3, 0.25)])
    Compared(overlap=0.5, rank_biased_overlap=0.55, score_shift=-0.25)
    """
    wanted = [item.item_id for item in primary]
    given = [item.item_id for item in canary]
    if not wanted or not given:
        agreement = float(not wanted and not given)
        return Compared(agreement, agreement, 0.0)
    return Compared(
        overlap=len(set(wanted).intersection(given)) / len(wanted),
        rank_biased_overlap=rank_biased_overlap(wanted, given),
        score_shift=_mean_score(canary) - _mean_score(primary),
    )


def rank_biased_overlap(
    left: Sequence[ItemId], right: Sequence[ItemId], p: float = PERSISTENCE
) -> float:
    """Return how far two rankings agree, 0..1, the top weighing most.

    ``RBO_ext`` of Webber, Moffat and Zobel, "A similarity measure for indefinite rankings", ACM
    TOIS 28(4), 2010, equation 32. With ``s`` and ``l`` the lengths of the shorter and the longer
    ranking, and ``X_d`` the number of items that both name down to depth ``d``, it is::

        (1 - p) · Σ_{d=1..l} A_d · p^(d-1)  +  A_l · p^l
        A_d = (X_d + max(d - s, 0) · X_s / s) / d

    where the agreement ``A_d`` assumes that the shorter ranking would continue as before, and the
    last term that both would.

    Parameters
    ----------
    left, right
        Item ids, best first, each once. Both empty: 1. One of them empty: 0.
    p
        Weight of each depth against the one above it, above 0 and below 1.

    Examples
    --------
    >>> rank_biased_overlap(["a", "b"], ["b", "a"], p=0.5)
    0.5
    """
    shorter, longer = sorted((left, right), key=len)
    if not shorter:
        return float(not longer)
    common = _common_by_depth(shorter, longer)
    going_on = common[len(shorter) - 1] / len(shorter)
    total, weight, agreement = 0.0, 1.0, 0.0
    for depth, both in enumerate(common, start=1):
        agreement = (both + max(depth - len(shorter), 0) * going_on) / depth
        total += agreement * weight
        weight *= p
    return (1 - p) * total + agreement * weight


def _common_by_depth(shorter: Sequence[ItemId], longer: Sequence[ItemId]) -> list[int]:
    """Return how many items both name down to each depth of `longer`."""
    place_by_item = {item: place for place, item in enumerate(shorter)}
    met = [0] * len(longer)
    for place, item in enumerate(longer):
        other = place_by_item.get(item)
        if other is not None:
            met[max(place, other)] += 1
    return list(accumulate(met))


def _mean_score(items: Sequence[Item]) -> float:
    return sum(item.score for item in items) / len(items)
