"""Records of the new-items topic: a round trip, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from registry.errors import RecordError
from registry.new_items.item_shares import ItemShare, NewItem, ShareKey
from registry.new_items.new_item_records import (
    CountedItems,
    NewItemKey,
    NewItemRecord,
    SharedSums,
    SolvedVector,
    decode_key,
    decode_record,
    encode_key,
    key_of_record,
    record_of_share,
    record_of_vector,
    share_of_record,
    vector_of_record,
)
from registry.wire.codec import encode


def test_shares_vectors_and_keys_survive_a_round_trip() -> None:
    share = ItemShare(ShareKey("v0.3", 2, "a"), 9, 4, np.arange(3.0), np.arange(2.0))
    found = decode_record(encode(record_of_share(share)))
    assert found.share is not None
    again = share_of_record("v0.3", found.share)
    assert (again.key, again.end, again.users) == (share.key, 9, 4)
    assert again.triangle.tolist() == [0, 1, 2]
    assert again.vector.tolist() == [0, 1]

    solved = decode_record(
        encode(record_of_vector("v0.3", 7, NewItem(4, np.array([0.5, -2], np.float32))))
    ).solved
    assert solved is not None
    assert vector_of_record(solved).vector.tolist() == [0.5, -2]

    for record, key in (
        (found, NewItemKey("share", "v0.3", 2, "a")),
        (NewItemRecord("v0.3", solved=solved), NewItemKey("solved", "v0.3", None, 7)),
        (NewItemRecord("v", counted=CountedItems(1, 5, (1, "1"))), NewItemKey("counted", "v", 1)),
    ):
        assert key_of_record(record) == key
        assert decode_key(encode_key(key)) == key


def test_what_says_nothing_or_two_things_or_has_numbers_that_do_not_fit_is_refused() -> None:
    counted, solved = CountedItems(0, 1, ()), SolvedVector(1, 2, b"")
    for wrong in (NewItemRecord("v"), NewItemRecord("v", counted=counted, solved=solved)):
        with pytest.raises(RecordError, match="exactly one"):
            decode_record(encode(wrong))
    nan = np.array([np.nan], "<f4").tobytes()
    for matrix, vector, why in (
        (b"1234", b"123", "no float32"),
        (b"1234" * 2, b"1234", "fit"),
        (b"1234", nan, "finite"),
        (b"1234", b"", "no float32"),
    ):
        with pytest.raises(RecordError, match=why):
            share_of_record("v", SharedSums(0, "a", 1, 1, matrix, vector))
    with pytest.raises(RecordError, match="finite"):
        vector_of_record(SolvedVector(1, 2, nan))
    with pytest.raises(RecordError, match="NewItemKey: "):
        decode_key(b"[]")
