"""Label masks: every label must match, one of its values is enough; unknown labels are named."""

from __future__ import annotations

from registry.catalogue.item_labels import labelled
from registry.catalogue.label_masks import MOST_KEPT, LabelMasks

MASKS = LabelMasks(
    labelled(
        [
            {"genre": ["Drama", "War"], "region": ["eu"]},
            {"genre": ["Drama"], "region": ["us"]},
            {"genre": ["Comedy"]},
            {},
        ]
    ),
    4,
)


def rows(allow: dict[str, list[str]] | None, exclude: dict[str, list[str]] | None) -> list[int]:
    return [row for row, shown in enumerate(MASKS.shown(allow, exclude).tolist()) if shown]


def test_one_of_the_values_is_enough_and_every_label_must_match() -> None:
    assert rows({"genre": ["Drama", "Comedy"]}, None) == [0, 1, 2]
    assert rows({"genre": ["Drama", "Comedy"], "region": ["eu", "us"]}, None) == [0, 1]


def test_an_item_with_any_excluded_value_is_out_and_one_without_labels_is_not() -> None:
    assert rows(None, {"genre": ["War"], "region": ["us"]}) == [2, 3]
    assert rows({"genre": ["Drama"]}, {"genre": ["War"]}) == [1]


def test_a_value_that_no_item_has_matches_nothing() -> None:
    assert rows({"genre": ["Noir"]}, None) == []
    assert rows(None, {"genre": ["Noir"]}) == [0, 1, 2, 3]


def test_labels_that_no_item_has_are_named_and_values_are_not() -> None:
    assert MASKS.unknown([{"genre": ["Noir"], "mood": ["x"]}, None, {"age": ["6"]}]) == [
        "age",
        "mood",
    ]
    assert LabelMasks(None, 2).unknown([{"genre": ["Drama"]}]) == ["genre"]
    assert not LabelMasks(None, 2).shown({"genre": ["Drama"]}, None).any()


def test_it_stays_right_beyond_the_masks_that_it_keeps() -> None:
    for number in range(2 * MOST_KEPT):
        assert rows({"genre": ["Drama", str(number)]}, None) == [0, 1]
