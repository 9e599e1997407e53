"""What a version takes from the items topic, and gets back from its own file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness.cells import each_cell

from registry.errors import DamagedVersion
from registry.wire.training_records.catalogue_items import CatalogueItem
from training.catalogue.version_items import (
    VersionItems,
    decode_items,
    encode_items,
    items_of,
)
from training.data.matrix import Cells

RECORDS: dict[Any, CatalogueItem] = {
    1: CatalogueItem(1, "One", {"genre": ["b", "a"], "region": []}),
    "2": CatalogueItem("2", "another type"),
    3: CatalogueItem(3, labels={"genre": ["a"]}, withdrawn=True),
    9: CatalogueItem(9, "not in the training set"),
}


def some_cells() -> Cells:
    return Cells(
        user_ids=("u",),
        item_ids=(1, 2, 3, 4),
        titles=("from an interaction", "Two", "Three", None),
        indptr=np.array([0, 4]),
        item=np.arange(4, dtype=np.int32),
        time=np.zeros(4),
        values={},
        newest=0.0,
    )


def test_records_of_the_versions_items_are_taken_in_the_order_of_their_rows() -> None:
    items = items_of(some_cells(), RECORDS.get)
    assert items.records == (RECORDS[1], RECORDS[3])
    assert (items.titled, items.labelled, items.mistyped) == (1, 2, 1)


def test_a_title_of_the_topic_wins_and_others_stay() -> None:
    items = items_of(some_cells(), RECORDS.get)
    assert items.entitle(some_cells()).titles == ("One", "Two", "Three", None)


def test_labels_are_by_row_and_none_where_no_item_has_any() -> None:
    labels = items_of(some_cells(), RECORDS.get).labels(some_cells())
    assert labels is not None
    assert [labels.of(row) for row in range(4)] == [
        {"genre": ["a", "b"]},
        {},
        {"genre": ["a"]},
        {},
    ]
    assert VersionItems().labels(some_cells()) is None


def test_the_file_gives_back_the_same_records_and_always_has_the_same_bytes() -> None:
    items = items_of(some_cells(), RECORDS.get)
    assert decode_items(encode_items(items)).records == items.records
    assert encode_items(items) == encode_items(decode_items(encode_items(items)))
    assert decode_items(encode_items(VersionItems())) == VersionItems()


@each_cell("payload", [b"no gzip", encode_items(VersionItems())[:-9]])
def test_a_file_that_is_none_is_damage(payload: bytes) -> None:
    with pytest.raises(DamagedVersion, match=r"items\.jsonl\.gz"):
        decode_items(payload)
