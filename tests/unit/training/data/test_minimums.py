"""Users and items below their minimum are left out, until everybody has enough."""

from __future__ import annotations

from registry.wire.training_records.interactions import Interaction
from tests.unit.training.builders import cells_of, parameters, rate, rows_of, watch
from training.data.cells_from_rows import gather
from training.data.minimums import trim


def test_users_and_items_below_their_minimum_are_left_out_until_all_have_enough() -> None:
    # item 9 has one user; without it, user 3 has one item; without that one, item 8 has one user
    cells = cells_of(
        *(watch(user, item) for user in (1, 2) for item in (6, 7)),
        *(watch(1, 8), watch(3, 8), watch(3, 9)),
    )
    kept = trim(cells, parameters(min_user_interactions=2, min_item_interactions=2))

    assert (kept.user_ids, kept.item_ids) == ((1, 2), (6, 7))
    assert (kept.user.tolist(), kept.item.tolist()) == ([0, 0, 1, 1], [0, 1, 0, 1])
    assert kept.newest == cells.newest


def test_only_what_teaches_counts_towards_a_minimum_and_what_does_not_stays_seen() -> None:
    cells = cells_of(rate(1, 7, 5.0), rate(1, 8, 1.0), rate(2, 8, 5.0), rate(3, 7, 1.0))
    kept = trim(cells, parameters(rating_floor=2.0, min_user_interactions=1))

    assert kept.user_ids == (1, 2)
    assert kept.item[kept.user == 0].tolist() == [0, 1]


def test_what_is_left_out_takes_along_what_was_undone() -> None:
    undo = Interaction(user_id=2, item_id=8, event="unlike", timestamp=9.0)
    other = Interaction(user_id=3, item_id=8, event="unlike", timestamp=9.0)
    rows = rows_of([watch(1, 7), *(watch(user, item) for user in (2, 4) for item in (7, 8)),
                    undo, other, watch(3, 7)])  # fmt: skip
    cells = gather(lambda _columns: [(0, rows)], ("watch", "like"), {"unlike": "like"}).cells
    kept = trim(cells, parameters(min_user_interactions=2))

    assert kept.user_ids == (2, 4)
    undone = kept.undone["like"]
    assert (undone.user.tolist(), undone.item.tolist(), undone.time.tolist()) == ([0], [1], [9.0])


def test_without_minimums_all_cells_are_kept() -> None:
    cells = cells_of(rate(1, 7, 0.0))

    assert trim(cells, parameters()) is cells


def test_a_minimum_that_nobody_reaches_leaves_nothing() -> None:
    assert trim(cells_of(watch(1, 7)), parameters(min_user_interactions=2)).shape == (0, 0)
