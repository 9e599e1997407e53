"""From judged lists to numbers with intervals: candidate beside popularity beside incumbent.

Pure: knows judgements of the same users; must not know how the lists were made, nor what the gate
allows. All intervals are of one bootstrap over the users, so differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.versions.manifest import Order
from training.judging.bootstrap import Bounds, bootstrap
from training.judging.ranking_metrics import MEANS, Judgement, RankingMetrics

Basis: TypeAlias = Literal["published", "recipe"]
"""What stood for the incumbent: its published factors, or its parameters fitted anew."""

SEED: Final = 20_260
"""Of the resamples: the same lists give the same bounds, and so the same verdict."""

PLAUSIBLE_SHARE: Final = 0.7
"""A model that does not reach this share of a simple baseline's NDCG@10 on the same split has
something wrong with it: its weights, its parameters or its data."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over the judged users. ``bounds`` are None where there are too few of them.

    >>> f"{Estimate(0.5, (0.25, 0.75)):+.2f}", f"{Estimate(0.5, None):.1f}"
    ('+0.50 [+0.25, +0.75]', '0.5')
    """

    value: float
    bounds: Bounds | None

    def __format__(self, spec: str) -> str:
        """Return the value and its interval, each number by `spec`."""
        text = format(self.value, spec)
        if self.bounds is None:
            return text
        low, high = (format(bound, spec) for bound in self.bounds)
        return f"{text} [{low}, {high}]"


@dataclass(frozen=True, slots=True)
class Quality:
    """What the evaluation found.

    Parameters
    ----------
    users
        How many were judged, the same ones for all.
    candidate, popularity, incumbent
        The metrics; the incumbent's are None if there is none.
    basis
        What stood for the incumbent.
    over_popularity
        NDCG@10 of the candidate minus that of popularity.
    over_floor
        NDCG@10 of the candidate minus what the tolerance leaves of the incumbent's.
    baselines
        The metrics of further baselines, by name.
    strongest
        The baseline with the highest NDCG@10; None without any.
    over_plausible
        NDCG@10 of the candidate minus `PLAUSIBLE_SHARE` of the strongest baseline's.
    order
        In which order of each user's interactions the last ones were held out.
    intervals
        Bounds by metric, as the manifest names them; empty if there are too few users.
    differences
        NDCG, HR, recall and MAP of the candidate minus the rival's, by rival, then metric.
    """

    users: int
    candidate: RankingMetrics
    popularity: RankingMetrics
    incumbent: RankingMetrics | None
    basis: Basis | None
    over_popularity: Estimate
    over_floor: Estimate | None
    intervals: Mapping[str, Bounds]
    differences: Mapping[str, Mapping[str, Estimate]]
    baselines: Mapping[str, RankingMetrics] = field(default_factory=dict)
    strongest: str | None = None
    over_plausible: Estimate | None = None
    order: Order = "time"

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics as the manifest names them, such as ``popularity_ndcg_at_10``."""
        judged = {"": self.candidate, "popularity_": self.popularity, "incumbent_": self.incumbent}
        return {
            f"{whose}{name}_at_10": round(getattr(metrics, name), 6)
            for whose, metrics in judged.items()
            if metrics is not None
            for name in (*MEANS, "coverage")
        } | {
            f"{whose}_{name}_at_10": round(getattr(metrics, name), 6)
            for whose, metrics in self.baselines.items()
            for name in TOLD_OF_BASELINES
        }


def measure(
    candidate: Judgement,
    popularity: Judgement,
    incumbent: Judgement | None,
    basis: Basis | None,
    tolerance: float,
    baselines: Mapping[str, Judgement] | None = None,
    order: Order = "time",
) -> Quality:
    """Return the quality of judgements of the same users.

    Parameters
    ----------
    candidate, popularity, incumbent
        All by the same split.
    basis
        What stood for the incumbent; None without one.
    tolerance
        The share of the incumbent's NDCG@10 that the candidate may be worse by. The floor is
        ``(1 - tolerance) × incumbent``, user by user, so its own uncertainty is in the interval.
    baselines
        Further ones, by name, by the same split.
    order
        Of the split.
    """
    others = dict(baselines or {})
    rivals = {"popularity": popularity} | ({"incumbent": incumbent} if incumbent else {}) | others
    judged = {"": candidate} | rivals
    columns = {
        (whose, name): judgement.of(name)
        for whose, judgement in judged.items()
        for name in (TOLD_OF_BASELINES[:-1] if whose in others else MEANS)
    }
    for whose, rival in rivals.items():
        for name in _COMPARED:
            columns[f"over_{whose}", name] = candidate.of(name) - rival.of(name)
    if incumbent is not None:
        columns["floor", "ndcg"] = candidate.of("ndcg") - (1 - tolerance) * incumbent.of("ndcg")
    strongest = max(others, key=lambda name: others[name].metrics.ndcg, default=None)
    if strongest is not None:
        columns["plausible", "ndcg"] = candidate.of("ndcg") - PLAUSIBLE_SHARE * others[
            strongest
        ].of("ndcg")
    estimates = _estimates(columns)
    return Quality(
        users=len(candidate.values),
        candidate=candidate.metrics,
        popularity=popularity.metrics,
        incumbent=incumbent.metrics if incumbent else None,
        basis=basis,
        over_popularity=estimates["over_popularity", "ndcg"],
        over_floor=estimates.get(("floor", "ndcg")),
        intervals={
            f"{whose}_{name}_at_10".lstrip("_"): _rounded(found.bounds)
            for (whose, name), found in estimates.items()
            if whose in judged and found.bounds is not None
        },
        differences={
            whose: {name: estimates[f"over_{whose}", name] for name in _COMPARED}
            for whose in rivals
        },
        baselines={whose: judgement.metrics for whose, judgement in others.items()},
        strongest=strongest,
        over_plausible=estimates.get(("plausible", "ndcg")),
        order=order,
    )


TOLD_OF_BASELINES: Final = ("ndcg", "hr", "coverage")
"""Metrics of further baselines that a manifest holds."""

_COMPARED: Final = ("ndcg", "hr", "recall", "map")
"""Of these, more is better."""

_Key: TypeAlias = tuple[str, str]


def _estimates(columns: Mapping[_Key, NDArray[np.float64]]) -> dict[_Key, Estimate]:
    table = np.stack(list(columns.values()), axis=1)
    bounds: Sequence[Bounds | None] = bootstrap(table, SEED) or [None] * len(columns)
    means = table.mean(axis=0).tolist()
    return dict(zip(columns, map(Estimate, means, bounds), strict=True))


def _rounded(bounds: Bounds) -> Bounds:
    low, high = bounds
    return round(low, 6), round(high, 6)
