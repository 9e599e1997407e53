"""Comparing a version that was made again with the published one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from harness.fresh import random_arrays

from registry.versions.manifest import Manifest
from registry.wire.training_records.gate_results import DataSnapshot, Gate
from tests.unit.training.builders import parameters
from training.runs.reproduce import Reproduction, compared

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
    again = against(item_ids=[str(one) for one in ARRAYS.item_ids])

    assert again.different == ("item_ids",)
