"""Quality: names, paired differences and the floor, with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.judging.quality_estimates import measure
from training.judging.ranking_metrics import MEANS, Judgement


def judgement(ndcg: list[float], coverage: float = 0.5) -> Judgement:
    values = np.zeros((len(ndcg), len(MEANS)))
    values[:, MEANS.index("ndcg")] = ndcg
    return Judgement(np.zeros((len(ndcg), 1), np.int64), values, coverage)


OURS = judgement([0.4, 0.6] * 10)
THEIRS = judgement([0.3, 0.5] * 10, coverage=0.25)
POPULAR = judgement([0.0, 0.2] * 10)


def test_metrics_have_the_names_of_the_manifest() -> None:
    metrics = measure(OURS, POPULAR, THEIRS, "recipe", 0.1).metrics

    assert metrics["ndcg_at_10"] == 0.5
    assert metrics["popularity_ndcg_at_10"] == 0.1
    assert metrics["incumbent_ndcg_at_10"] == 0.4
    assert metrics["incumbent_coverage_at_10"] == 0.25


def test_differences_are_taken_user_by_user() -> None:
    quality = measure(OURS, POPULAR, THEIRS, "recipe", 0.1)

    difference = quality.differences["incumbent"]["ndcg"]
    assert difference.value == pytest.approx(0.1)
    assert difference.bounds == pytest.approx((0.1, 0.1))  # every user's is the same
    low, high = quality.intervals["ndcg_at_10"]
    assert 0.4 < low < 0.5 < high < 0.6  # though users differ


def test_the_floor_is_what_the_tolerance_leaves_of_the_incumbent() -> None:
    quality = measure(OURS, POPULAR, THEIRS, "recipe", 0.5)

    assert quality.over_floor is not None
    assert quality.over_floor.value == pytest.approx(0.5 - 0.5 * 0.4)


def test_without_an_incumbent_there_is_no_floor() -> None:
    quality = measure(OURS, POPULAR, None, None, 0.1)

    assert (quality.incumbent, quality.over_floor) == (None, None)
    assert set(quality.differences) == {"popularity"}
    assert not any(name.startswith("incumbent") for name in quality.metrics)


def test_too_few_users_have_metrics_without_intervals() -> None:
    quality = measure(judgement([1.0]), judgement([0.0]), None, None, 0.1)

    assert quality.metrics["ndcg_at_10"] == 1.0
    assert quality.over_popularity.bounds is None
    assert quality.intervals == {}
