"""Which items no answer may show: by their newest records, and as time passes."""

from __future__ import annotations

import math

from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.catalogue.availability import LEAST_OUTDATED, Availability, available_until
from registry.catalogue.distinct_item_count import LEAST_MERGED, DistinctItemCount
from registry.catalogue.item_changes import ItemChange
from registry.ids import ItemId
from registry.wire.training_records.catalogue_items import CatalogueItem

NOW = 1_000.0


def an_availability(*items: CatalogueItem | ItemId) -> Availability:
    """Read records one after the other; an id alone removes its item."""
    made = Availability()
    for offset, item in enumerate(items):
        if isinstance(item, CatalogueItem):
            made.note(offset, ItemChange(item.item_id, item), NOW)
        else:
            made.note(offset, ItemChange(item, None), NOW)
    return made


def test_nothing_is_withdrawn_at_first() -> None:
    availability = Availability()
    assert (availability.known, availability.offset) == (0, 0)
    assert availability.withdrawals.item_ids == frozenset()


@each_cell(
    ("records", "hidden"),
    [
        ([CatalogueItem(7)], []),
        ([CatalogueItem(7, withdrawn=True)], [7]),
        ([CatalogueItem("7", withdrawn=True), CatalogueItem(7)], ["7"]),
        ([CatalogueItem(7, withdrawn=True), CatalogueItem(7)], []),
        ([CatalogueItem(7, withdrawn=True), 7], []),
        ([CatalogueItem(7), CatalogueItem(7, withdrawn=True)], [7]),
        ([CatalogueItem(7, available_until=NOW - 1)], [7]),
        ([CatalogueItem(7, available_until=NOW)], [7]),
        ([CatalogueItem(7, available_until=NOW + 1)], []),
        ([CatalogueItem(7, available_until=NOW - 1), CatalogueItem(7)], []),
        ([CatalogueItem(7, available_until=NOW + 1, withdrawn=True)], [7]),
    ],
)
def test_the_newest_record_of_an_item_counts(
    records: list[CatalogueItem | ItemId], hidden: list[ItemId]
) -> None:
    availability = an_availability(*records)
    assert availability.withdrawals.item_ids == frozenset(hidden)
    assert availability.offset == len(records)


def test_what_is_available_until_a_moment_is_withdrawn_then() -> None:
    availability = an_availability(
        CatalogueItem(1, available_until=NOW + 5), CatalogueItem(2, available_until=NOW + 9)
    )
    for later, hidden in ((4.9, []), (5, [1]), (8, [1]), (9, [1, 2]), (1e6, [1, 2])):
        availability.pass_time(NOW + later)
        assert sorted(availability.withdrawals.item_ids, key=repr) == hidden


def test_an_end_that_a_later_record_moves_does_not_withdraw() -> None:
    availability = an_availability(
        CatalogueItem(1, available_until=NOW + 5), CatalogueItem(1, available_until=NOW + 9)
    )
    availability.pass_time(NOW + 6)
    assert availability.withdrawals.item_ids == frozenset()
    availability.pass_time(NOW + 9)
    assert availability.withdrawals.item_ids == {1}


def test_the_withdrawals_are_the_same_object_until_they_change() -> None:
    availability = an_availability(CatalogueItem(1, withdrawn=True))
    before = availability.withdrawals
    availability.note(1, ItemChange(2, CatalogueItem(2, "Two")), NOW)
    availability.note(2, ItemChange(1, CatalogueItem(1, "One", withdrawn=True)), NOW)
    availability.skip(3)
    availability.pass_time(NOW + 1e6)
    assert availability.withdrawals is before
    assert availability.offset == 4


def test_ends_that_no_longer_hold_do_not_pile_up() -> None:
    availability = Availability()
    for offset in range(5 * LEAST_OUTDATED):
        item = CatalogueItem(1, available_until=NOW + 1 + offset)
        availability.note(offset, ItemChange(1, item), NOW)
    assert len(availability._ends) <= LEAST_OUTDATED + 3


def test_until_when_an_item_is_available() -> None:
    assert available_until(None) == available_until(CatalogueItem(1)) == math.inf
    assert available_until(CatalogueItem(1, available_until=0.0)) == 0.0


@given(st.lists(st.tuples(st.integers(0, 5) | st.sampled_from("012345"), st.booleans())))
def test_known_ids_are_counted_as_a_set_would(notes: list[tuple[ItemId, bool]]) -> None:
    count, twin = DistinctItemCount(), set()
    for item_id, known in notes:
        count.note(item_id, known)
        twin = twin | {repr(item_id)} if known else twin - {repr(item_id)}
    assert count.total == len(twin)


def test_many_ids_are_counted_across_merges() -> None:
    count = DistinctItemCount()
    for item_id in range(3 * LEAST_MERGED):
        count.note(item_id, True)
    for item_id in range(0, 3 * LEAST_MERGED, 2):
        count.note(item_id, False)
    for item_id in range(10):
        count.note(item_id, True)
    assert count.total == 3 * LEAST_MERGED // 2 + 5
    assert len(count._since) <= LEAST_MERGED
