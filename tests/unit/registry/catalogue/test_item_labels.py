"""Labels by row: what comes back, which rows have one, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.catalogue.item_labels import labelled

words = st.sampled_from(["genre", "region", "eu", "Drama", "Crime", ""])
some_labels = st.dictionaries(words, st.lists(words, min_size=1, max_size=3), max_size=3)


@given(st.lists(some_labels, max_size=6))
def test_every_item_gets_its_labels_back_sorted_and_once(items: list[dict[str, Any]]) -> None:
    labels = labelled(items)
    assert labels.complaint(len(items)) is None
    for row, item in enumerate(items):
        assert labels.of(row) == {label: sorted(set(item[label])) for label in item}


@given(st.lists(some_labels, max_size=6), words, st.lists(words, max_size=2))
def test_rows_with_a_label_are_those_that_have_one_of_its_values(
    items: list[dict[str, Any]], label: str, values: list[str]
) -> None:
    found = labelled(items).rows_with(label, values)
    assert found.tolist() == [bool({*item.get(label, ())} & {*values}) for item in items]


@each_cell(
    ("wrong", "names"),
    [
        ({"indptr": np.array([0, 1])}, "label_indptr: int64 (2,)"),
        ({"indptr": np.array([0, 1, 3], np.int32)}, "label_indptr: int32"),
        ({"indptr": np.array([0, 2, 1])}, "rise from 0 to 3"),
        ({"indptr": np.array([0, 4, 3])}, "rise from 0 to 3"),
        ({"indptr": np.array([1, 2, 3])}, "rise from 0 to 3"),
        ({"ids": np.array([0, 1, 3], np.int32)}, "outside of 0..2"),
        ({"ids": np.array([0, -1, 1], np.int32)}, "outside of 0..2"),
        ({"ids": np.array([0, 1, 2])}, "label_ids: int64"),
        ({"table": []}, "outside of 0..-1"),
    ],
)
def test_arrays_that_contradict_one_another_are_refused(wrong: Any, names: str) -> None:
    labels = labelled([{"genre": ["a", "b"]}, {"region": ["eu"]}])
    assert labels.complaint(2) is None
    assert names in str(replace(labels, **wrong).complaint(2))
