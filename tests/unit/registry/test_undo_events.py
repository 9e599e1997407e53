"""Undo events take the earlier ones of their kind back: by time, for whoever merges events."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from registry.fresh.fresh_events import FreshEvent, left_of
from registry.fresh.fresh_forgetting import history_of
from registry.undo_events import Repeats
from registry.wire.training_records.interactions import Interaction
from tests.unit.training.builders import forget, rows_of
from training.data.cells_from_rows import gather

UNDOES = {"unlike": "like", "dislike": "like"}
Did = tuple[str, str, float]  # an item, what was done, and when; in the order of arrival


class Case(NamedTuple):
    """What somebody did, and what counts of it; ``repeats`` is what else the report tells."""

    rule: str
    did: tuple[Did, ...]
    counts: set[tuple[str, str]]
    repeats: Repeats


CASES = (
    Case("the earlier one is gone", (("a", "like", 1), ("a", "unlike", 2)), set(),
         Repeats(0, 0, 1, 1, 0)),
    Case("all earlier ones are gone", (("a", "like", 1), ("a", "like", 2), ("a", "unlike", 3)),
         set(), Repeats(1, 0, 1, 1, 0)),
    Case("by time, though it arrives first", (("a", "unlike", 2), ("a", "like", 1)), set(),
         Repeats(0, 0, 1, 1, 0)),
    Case("not what is later, though it arrives last", (("a", "like", 2), ("a", "unlike", 1)),
         {("a", "like")}, Repeats(0, 0, 1, 0, 1)),
    Case("the same again counts again", (("a", "like", 1), ("a", "unlike", 2), ("a", "like", 3)),
         {("a", "like")}, Repeats(1, 0, 1, 0, 0)),
    Case("of equal times the one further on is later", (("a", "like", 1), ("a", "unlike", 1)),
         set(), Repeats(0, 0, 1, 1, 0)),
    Case("which may be what is undone", (("a", "unlike", 1), ("a", "like", 1)),
         {("a", "like")}, Repeats(0, 0, 1, 0, 1)),
    Case("without an earlier one it is counted", (("a", "unlike", 1), ("b", "like", 1)),
         {("b", "like")}, Repeats(0, 0, 1, 0, 1)),
    Case("twice is once", (("a", "like", 1), ("a", "unlike", 2), ("a", "dislike", 3)), set(),
         Repeats(0, 0, 2, 1, 0)),
    Case("other items and kinds stay",
         (("a", "like", 1), ("a", "watch", 1), ("b", "like", 1), ("a", "unlike", 2)),
         {("a", "watch"), ("b", "like")}, Repeats(0, 0, 1, 1, 0)),
)  # fmt: skip


def interactions(did: tuple[Did, ...]) -> list[Interaction]:
    return [
        Interaction(user_id=1, item_id=item, event=kind, timestamp=at) for item, kind, at in did
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_training_and_later_events_follow_the_same_rules(case: Case) -> None:
    rows = rows_of(interactions(case.did))
    found = gather(lambda _columns: [(0, rows)], ("like", "watch"), UNDOES)

    items, values = found.cells.item_ids, found.cells.values
    pairs = zip(found.cells.item.tolist(), range(len(found.cells.item)), strict=True)
    learned = {
        (items[row], kind)
        for row, cell in pairs
        for kind, column in values.items()
        if column[cell] == column[cell]
    }
    events = [
        FreshEvent(item, kind, 1.0, at, offset) for offset, (item, kind, at) in enumerate(case.did)
    ]
    fresh = {(event.item_id, event.event) for event in left_of(events, UNDOES)}
    assert learned == fresh == case.counts
    report = found.report
    assert case.repeats == Repeats(*(getattr(report, name) for name in Repeats._fields))
    assert report.kept == found.interactions == len(case.did)


def test_a_forget_removes_an_undo_like_any_other_event() -> None:
    late = Interaction(user_id=1, item_id="a", event="like", timestamp=5.0)
    undo = Interaction(user_id=1, item_id="a", event="unlike", timestamp=6.0)
    rows = rows_of([undo, forget(1, at=4.0), late])
    cells = gather(lambda _columns: [(0, rows)], ("like",), UNDOES).cells

    history = history_of(
        [
            FreshEvent("a", "unlike", 1.0, 6.0, 0),
            FreshEvent(None, "forget", 1.0, 4.0, 1),
            FreshEvent("a", "like", 1.0, 5.0, 2),
        ]
    )
    assert cells.item_ids == ("a",)
    assert [event.event for event in left_of(history.events, UNDOES)] == ["like"]


def test_an_undo_leaves_the_age_of_what_remains() -> None:
    did = (("a", "like", 5.0), ("a", "watch", 3.0), ("a", "unlike", 9.0))
    rows = rows_of(interactions(did))
    cells = gather(lambda _columns: [(0, rows)], ("like", "watch"), UNDOES).cells

    assert (cells.time.tolist(), cells.newest) == ([3.0], 9.0)
    assert list(cells.values) == ["watch"]
