"""Comparing a version that was made again with the published one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from harness.fresh import random_arrays

from registry.versions.manifest import Manifest
from registry.wire.training_records.gate_results import DataSnapshot, Gate
from tests.unit.training.builders import cells_of, parameters, watch
from training.data.item_order import by_falling_norm
from training.data.matrix import Factors
from training.runs.reproduce import Reproduction, arrays_again, compared
from training.runs.version_arrays import arrays_of

MANIFEST = Manifest(
    "v0.1",
    {},
    model_name="als",
    created_at="2026-01-01T00:00:00Z",
    created_by="test",
    git_sha="",
    image_digest="",
    data_snapshot=DataSnapshot("sha256:1", "reco.interactions", {}, 1, 1, 1),
    parameters=parameters(),
    metrics={},
    gate=Gate(True, ()),
)
ARRAYS = random_arrays(5, 4, 2, 0)


def against(**changes: Any) -> Reproduction:
    return compared(MANIFEST, ARRAYS, replace(ARRAYS, **changes))


def test_the_same_bytes_are_equal() -> None:
    again = against(user_factors=ARRAYS.user_factors.copy())

    assert again.is_equal
    assert again.largest == {"user_factors": 0.0, "item_factors": 0.0, "popularity": 0.0}


def test_the_largest_difference_is_told() -> None:
    nudged = ARRAYS.item_factors.copy()
    nudged[2, 1] += np.float32(0.25)

    again = against(item_factors=nudged)

    assert not again.is_equal
    assert again.different == ("item_factors",)
    assert again.largest["item_factors"] == pytest.approx(0.25)


def test_a_difference_of_shape_has_no_size() -> None:
    again = against(user_factors=ARRAYS.user_factors[:4], user_ids=ARRAYS.user_ids[:4])

    assert again.largest["user_factors"] is None
    assert again.different == ("user_factors", "user_ids")


def test_an_id_of_another_type_is_another_id() -> None:
    again = against(item_ids=[str(item_id) for item_id in ARRAYS.item_ids])

    assert again.different == ("item_ids",)


def test_last_digits_that_swap_two_norms_are_a_small_difference_and_nothing_else() -> None:
    cells = cells_of(watch(1, "a", title="Ay"), watch(1, "b"), watch(2, "b"), watch(2, "c"))
    users = np.ones((2, 1), np.float32)
    fitted = Factors(users, np.array([[3], [2], [2.00001]], np.float32))
    again = Factors(users, np.array([[3], [2.00001], [2]], np.float32))
    published = arrays_of(*by_falling_norm(cells, fitted), parameters())
    assert published.item_ids == ["a", "c", "b"]

    found = compared(MANIFEST, published, arrays_again(published, cells, again, parameters()))

    assert found.different == ("item_factors",)
    assert found.largest["item_factors"] == pytest.approx(1e-5, rel=0.1)


def test_other_items_than_the_published_ones_are_a_difference_of_ids() -> None:
    both = cells_of(watch(1, "a"), watch(2, "b"))
    first = cells_of(watch(1, "a"), watch(2, "a"))
    factors = Factors(np.ones((2, 1), np.float32), np.ones((2, 1), np.float32))
    published = arrays_of(both, factors, parameters())

    again = arrays_again(published, first, factors._replace(items=factors.items[:1]), parameters())

    assert "item_ids" in compared(MANIFEST, published, again).different
