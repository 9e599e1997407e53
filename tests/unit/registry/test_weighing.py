"""The formula of weights: every transform, by hand-pinned numbers."""

from __future__ import annotations

import numpy as np
import pytest
from harness.cells import each_cell

from registry.bm25_statistics import CellPlaces, snapshot_bm25
from registry.errors import ShapeError
from registry.weighing import DAY_SECONDS, Weighing, weigh
from registry.wire.training_records.event_weights import parse_event_weights


def weight_of(spelled: str, *values: float) -> list[float]:
    found = weigh({"play": np.array(values, np.float32)}, parse_event_weights(f"play={spelled}"))
    return [round(float(weight), 4) for weight in found]


@each_cell(
    ("spelled", "weight"),
    [
        ("1", [0.0, 0.5, 1.0, 260.0, 352_698.0]),
        ("2:log", [0.0, 0.8109, 1.3863, 11.129, 25.5467]),
        ("1:sqrt", [0.0, 0.7071, 1.0, 16.1245, 593.8839]),
        ("3:binary", [0.0, 3.0, 3.0, 3.0, 3.0]),
        ("1:log:floor=1", [0.0, 0.0, 0.0, 5.5607, 12.7734]),
    ],
)
def test_each_transform_is_as_documented(spelled: str, weight: list[float]) -> None:
    assert weight_of(spelled, 0, 0.5, 1, 260, 352_698) == weight


def test_a_value_below_the_floor_speaks_against_other_kinds() -> None:
    values = {"watch": np.array([2.0, 2.0], np.float32), "rate": np.array([1.0, 0.0], np.float32)}
    weights = parse_event_weights("watch=1,rate=1:log:floor=2")

    assert weigh(values, weights).tolist() == pytest.approx([2 - np.log(2), 2 - np.log(3)])


@each_cell("transform", ["linear", "log", "sqrt", "binary"])
def test_no_value_weighs_less_than_nothing(transform: str) -> None:
    assert weight_of(f"1:{transform}", -5, -0.1) == [0.0, 0.0]


def test_a_kind_without_a_weight_or_of_weight_zero_is_ignored() -> None:
    values = {kind: np.array([3.0], np.float32) for kind in ("play", "view", "buy")}

    assert weigh(values, parse_event_weights("play=2,buy=0")).tolist() == [6.0]


def test_bm25_by_hand() -> None:
    values = np.array([3.0, np.nan, 1.0], np.float32)  # of items 0, 0, 1 by users 0, 1, 0
    where = CellPlaces(np.array([0, 1, 0]), np.array([0, 0, 1]), users=2)
    weights = parse_event_weights("play=1:bm25:k1=2:b=0.5")

    known = snapshot_bm25(values, where, 4, weights["play"])

    assert known.of_items.tolist() == [0.5 + 0.5 * 3 / 1, 0.5 + 0.5 * 1 / 1, 0.5, 0.5]
    found = Weighing(weights, bm25={"play": known}).of({"play": values}, np.zeros(3), where)
    assert found.tolist() == pytest.approx([9 / 7 * np.log(4 / 3), 0, 1 * np.log(4 / 3)])


def test_bm25_per_user_by_hand() -> None:
    values = np.array([3.0, 1.0, np.nan, 1.0], np.float32)  # of users 0, 0, 1, 1
    where = CellPlaces(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), users=2)
    weights = parse_event_weights("play=1:bm25:k1=2:b=0.5:per=user")

    known = snapshot_bm25(values, where, 2, weights["play"])

    assert known.of_items.tolist() == [0.0, 0.0]  # ln 2 - ln(1 + 1), and below for two users
    assert known.mean_length == 2.5
    rarer = known._replace(of_items=np.array([1.0, 2.0]))
    found = Weighing(weights, bm25={"play": rarer}).of({"play": values}, np.zeros(4), where)
    norms = 0.5 + 0.5 * 4 / 2.5, 0.5 + 0.5 * 1 / 2.5
    assert found.tolist() == pytest.approx(
        [9 / (2 * norms[0] + 3), 2 * 3 / (2 * norms[0] + 1), 0, 2 * 3 / (2 * norms[1] + 1)]
    )


def test_what_is_newer_than_the_snapshot_counts_as_much_as_its_newest() -> None:
    weighing = Weighing(parse_event_weights("play=1"), newest=0.0, half_life_days=1, window_days=2)
    values, days = {"play": np.ones(4, np.float32)}, np.array([5.0, 0.0, -1.0, -2.5])

    assert weighing.of(values, days * DAY_SECONDS).tolist() == [1.0, 1.0, 0.5, 0.0]


def test_bm25_without_places_is_a_bug_and_stops() -> None:
    values, places = np.ones(1, np.float32), CellPlaces(np.zeros(1, int), np.zeros(1, int), 1)
    weights = parse_event_weights("play=1:bm25")
    weighing = Weighing(weights, bm25={"play": snapshot_bm25(values, places, 1, weights["play"])})

    with pytest.raises(ShapeError, match="where the cells lie"):
        weighing.of({"play": values}, np.zeros(1))


def test_a_transform_that_is_not_settled_is_a_bug_and_stops() -> None:
    with pytest.raises(ShapeError, match="must be resolved before weighing"):
        weight_of("1:auto", 1)
