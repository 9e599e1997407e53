"""The share book: which shares count, whoever sent them, and what is solved of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from registry.errors import RecordError
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.row_solver import Entries, RowSolver
from registry.ids import ItemId
from registry.new_items import item_choice
from registry.new_items.item_shares import NewItem, ShareKey, share_of
from registry.new_items.new_item_records import (
    CountedItems,
    NewItemKey,
    NewItemRecord,
    SharedSums,
    record_of_share,
)
from registry.new_items.share_book import ShareBook

USERS = np.random.default_rng(3).normal(size=(40, 4)).astype(np.float32)
LOSS = LossFunction(2.0, 1.0)
SOLVER = RowSolver(USERS, LOSS)


class Book(ShareBook):
    def share(self, partition: int, item: str, *users: int, end: int = 10) -> Book:
        rows = np.array(users, np.int32)
        key = ShareKey("v1", partition, item)
        weight = np.ones(len(rows), np.float32)
        self.take(record_of_share(share_of(key, end, USERS, LOSS, rows, weight)))
        return self

    def count(self, partition: int, *items: ItemId, end: int = 10) -> Book:
        self.take(NewItemRecord("v1", counted=CountedItems(partition, end, items)))
        return self

    def solved(self, least: int = 1) -> dict[ItemId, NewItem]:
        return dict(self.solve("v1", lambda: SOLVER, 4, least))


def is_by(found: NewItem, users: Iterable[int]) -> bool:
    rows = np.array(sorted(users), np.int32)
    weight = np.ones(len(rows), np.float32)
    expected = SOLVER.solve(Entries(np.array([0, len(rows)]), rows, weight))[0]
    return found.users == len(rows) and bool(np.allclose(found.vector, expected, atol=1e-5))


def test_counted_shares_of_all_partitions_add_up_in_any_order() -> None:
    book = Book().share(0, "a", 1, 2).count(1, "a", "b").share(1, "a", 3).share(1, "b", 9)
    assert set(book.solved()) == {"a", "b"}  # of partition 0 nothing counts yet
    book.count(0, "a")

    assert is_by(book.solved()["a"], (1, 2, 3))
    assert set(book.solved(least=2)) == {"a"}
    assert Book().solved() == {}


def test_of_a_partition_what_reaches_further_counts_so_a_worker_that_is_gone_changes_nothing() -> (
    None
):
    book = Book().share(0, "a", 1, 2, 3, end=9).count(0, "a", end=9)
    book.share(0, "a", 1, end=5).count(0, end=5)  # late, of whoever had the partition before
    assert is_by(book.solved()["a"], (1, 2, 3))
    book.share(0, "a", 4, end=9)  # as far: the same worker, again
    assert is_by(book.solved()["a"], (4,))
    book.count(0, end=12)
    assert book.solved() == {}
    book.count(0, "a", end=13)
    assert book.solved() == {}  # it was let go of with the list, and is sent again
    assert is_by(book.share(0, "a", 4, end=13).solved()["a"], (4,))


def test_of_what_counts_no_more_nothing_is_kept() -> None:
    book = Book().count(0, "a", "b").share(0, "a", 1).share(0, "b", 2).share(1, "a", 3)
    book.count(0, "b", end=11)
    assert NewItemKey("share", "v1", 0, "a") not in book.keys_of("v1")
    assert len(book.keys_of("v1")) == 3  # of the other partition nobody has said anything
    book.count(0, end=10)  # late
    assert is_by(book.solved()["b"], (2,))


def test_what_was_taken_back_counts_no_more() -> None:
    book = Book().share(0, "a", 1).share(1, "a", 2).count(0, "a").count(1, "a")
    assert set(book.keys_of("v1")) == {
        NewItemKey("share", "v1", 0, "a"), NewItemKey("share", "v1", 1, "a"),
        NewItemKey("counted", "v1", 0), NewItemKey("counted", "v1", 1),
    }  # fmt: skip
    assert is_by(book.solved()["a"], (1, 2))
    book.drop(NewItemKey("share", "v1", 0, "a"))
    assert is_by(book.solved()["a"], (2,))
    book.drop(NewItemKey("counted", "v1", 1))
    assert book.solved() == {}
    book.let_go("v1")
    assert book.versions == set()
    assert book.keys_of("v1") == []


def test_the_items_with_the_most_users_are_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_choice, "MOST_ITEMS", 2)
    book = Book().count(0, "a", "b", "c").share(0, "a", 1).share(0, "b", 1, 2).share(0, "c", 1, 2)

    assert list(book.solved()) == ["b", "c"]


def test_shares_of_another_number_of_factors_are_passed_over_and_damaged_ones_refused() -> None:
    book = Book().count(0, "a").share(0, "a", 1)
    assert dict(book.solve("v1", lambda: SOLVER, 5, 1)) == {}
    with pytest.raises(RecordError, match="1 bytes are no float32"):
        book.take(NewItemRecord("v1", share=SharedSums(0, "a", 11, 1, b"1", b"1234")))
