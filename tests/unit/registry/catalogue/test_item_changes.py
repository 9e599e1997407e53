"""What a record of the items topic says, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.catalogue.item_changes import MAX_ITEM_BYTES, change_of
from registry.catalogue.item_keys import id_of, key_of
from registry.errors import RecordError
from registry.wire.codec import encode
from registry.wire.training_records.catalogue_items import CatalogueItem


def bytes_of(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_a_record_says_what_an_item_is_now() -> None:
    item = CatalogueItem("sku-1", "One", {"genre": ["a", "b"]}, available_until=9.5, withdrawn=True)
    assert change_of(b"sku-1", encode(item)) == ("sku-1", item)


def test_a_record_without_a_value_removes_the_item() -> None:
    assert change_of(b"7", None) == (7, None)
    assert change_of(b'"7"', None) == ("7", None)


def test_unknown_fields_are_ignored() -> None:
    assert change_of(b"7", bytes_of(item_id=7, price=3)).item == CatalogueItem(7)


@given(st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8"), min_size=1))
def test_every_id_has_one_key_and_comes_back_with_its_type(item_id: int | str) -> None:
    found = id_of(key_of(item_id))
    assert (found, type(found)) == (item_id, type(item_id))


@each_cell(
    ("key", "value", "code", "names"),
    [
        (b"7", b"", "empty", "empty"),
        (b"7", b"{", "malformed", "not JSON"),
        (b"7", b"\xff", "malformed", "not JSON"),
        (b"7", b"[]", "invalid", "object"),
        (b"7", bytes_of(title="x"), "invalid", "item_id"),
        (b"7", bytes_of(item_id=7.5), "invalid", "item_id"),
        (b"", bytes_of(item_id=""), "invalid", "item_id"),
        (b"7", bytes_of(item_id=7, title="x" * 501), "invalid", "title"),
        (b"7", bytes_of(item_id=7, labels={"genre": "Drama"}), "invalid", "labels"),
        (b"7", bytes_of(item_id=7, labels={"genre": ["x" * 101]}), "invalid", "labels"),
        (b"7", bytes_of(item_id=7, labels={"genre": [""]}), "invalid", "labels"),
        (b"7", bytes_of(item_id=7, labels={"genre": ["x"] * 33}), "invalid", "labels"),
        (b"7", bytes_of(item_id=7, labels={str(n): [] for n in range(33)}), "invalid", "labels"),
        (b"7", bytes_of(item_id=7, available_until=1_798_675_200_000), "invalid", "until"),
        (b"7", bytes_of(item_id=7, available_until=-1), "invalid", "until"),
        (b"7", bytes_of(item_id=7, available_until="2026"), "invalid", "until"),
        (b"7", bytes_of(item_id=7, withdrawn="yes"), "invalid", "withdrawn"),
        (b"7", bytes_of(item_id=7, pad="x" * MAX_ITEM_BYTES), "too_large", "bytes"),
        (str(2**63).encode(), bytes_of(item_id=2**63), "out_of_range", "64 bits"),
        (b"8", bytes_of(item_id=7), "invalid", "b'7'"),
        (b"7", bytes_of(item_id="7"), "invalid", "b'\"7\"'"),
        (None, bytes_of(item_id=7), "invalid", "b'7'"),
        (b"", None, "empty", "key"),
        (None, None, "empty", "key"),
        (b"\xff", None, "invalid", "key"),
        (b'"7', None, "invalid", "key"),
        (b'"a"', None, "invalid", "b'a'"),
        (b" 7", None, "invalid", "b'7'"),
        (b"7.0", None, "invalid", "b'7'"),
    ],
)
def test_what_is_no_item_is_refused_by_name(
    key: bytes | None, value: bytes | None, code: str, names: str
) -> None:
    with pytest.raises(RecordError) as refused:
        change_of(key, value)
    assert (refused.value.code, names in str(refused.value)) == (code, True), refused.value


def test_the_largest_item_that_the_bounds_allow_is_not_too_large() -> None:
    labels = {f"{n:0100}": ["ä" * 100] * 32 for n in range(32)}
    item = CatalogueItem("i" * 200, "t" * 500, labels, 1.0, withdrawn=True)
    assert change_of(b"i" * 200, encode(item)).item == item
