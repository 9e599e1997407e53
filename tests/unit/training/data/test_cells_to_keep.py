"""A user's learned cells and fresh events weigh what training makes of the whole log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.bm25_statistics import CellPlaces
from registry.fold_in.learned_cells import check_learned
from registry.fold_in.merged_cells import UserEvents, merge
from registry.fresh.fresh_events import fresh_event
from registry.fresh.fresh_forgetting import FreshHistory, history_of
from registry.ids import ItemId, UserId
from registry.versions.manifest import Parameters
from registry.wire.training_records.event_weights import (
    kinds_weighed,
    parse_event_weights,
    undo_targets,
)
from registry.wire.training_records.interactions import Interaction
from tests.unit.training.builders import forget, parameters, rows_of, watch
from training.data.cell_weights import weighing_of
from training.data.cells_from_rows import gather
from training.data.cells_to_keep import cells_to_keep
from training.data.matrix import Cells, csr

WeightsByItem = dict[ItemId, float]
KINDS = ("watch", "play", "buy", "skip")
UNDOS = ("unwatch", "unplay", "return")
RECORDED_AT = 50.0


def gathered_of(events: Sequence[Interaction], hyperparameters: Parameters) -> Cells:
    table = rows_of(events, RECORDED_AT)
    weights = hyperparameters.weights
    return gather(
        lambda _columns: [(0, table)], kinds_weighed(weights), undo_targets(weights)
    ).cells


def by_training(
    events: Sequence[Interaction], before: Cells, hyperparameters: Parameters
) -> dict[UserId, WeightsByItem]:
    """Weigh the cells of the whole log with what the snapshot of its first part settled."""
    whole = gathered_of(events, hyperparameters)
    row_by_item = {item: row for row, item in enumerate(before.item_ids)}
    known = np.array([item in row_by_item for item in whole.item_ids], np.bool_)[whole.item]
    rows = [row_by_item.get(item, 0) for item in whole.item_ids]
    item = np.array(rows, np.int32)[whole.item[known]]
    user = whole.user[known]
    values = {kind: column[known] for kind, column in whole.values.items()}
    weighing = weighing_of(before, hyperparameters)
    weight = weighing.of(values, whole.time[known], CellPlaces(user, item, whole.shape[0]))
    found: dict[UserId, WeightsByItem] = {}
    for row, at, counted in zip(user.tolist(), item.tolist(), weight.tolist(), strict=True):
        found.setdefault(whole.user_ids[row], {})[before.item_ids[at]] = counted
    return found


def by_merging(
    events: Sequence[Interaction], learned: int, cells: Cells, hyperparameters: Parameters
) -> dict[UserId, WeightsByItem]:
    kept = cells_to_keep(cells, hyperparameters)
    check_learned(kept, len(cells.item), cells.shape[1])
    fresh: dict[UserId, list] = {user: [] for user in cells.user_ids}
    for offset, event in enumerate(events[learned:], learned):
        fresh.setdefault(event.user_id, []).append(fresh_event(event, RECORDED_AT, offset))
    row_by_user = {user: row for row, user in enumerate(cells.user_ids)}
    row_by_item = {item: row for row, item in enumerate(cells.item_ids)}
    users = [
        UserEvents(row_by_user.get(user), history_of(own, kept.forgotten.get(user, -np.inf)))
        for user, own in fresh.items()
    ]
    seen = csr(cells, np.ones(len(cells.item), np.bool_))
    undoes = undo_targets(hyperparameters.weights)
    merged = merge(users, kept, seen.indptr, seen.indices, cells.shape[1], row_by_item.get, undoes)
    weight = merged.weigh(weighing_of(cells, hyperparameters)._replace(bm25=kept.bm25))
    found = {}
    for user, start, end in zip(fresh, merged.indptr[:-1], merged.indptr[1:], strict=True):
        ids = [cells.item_ids[row] for row in merged.item[start:end].tolist()]
        if ids:
            found[user] = dict(zip(ids, weight[start:end].tolist(), strict=True))
    return found


events = st.lists(
    st.one_of(
        st.builds(
            lambda user, item, kind, at, value: Interaction(
                user_id=user, item_id=item, event=kind, timestamp=at, value=value
            ),
            st.sampled_from([1, 2, "1"]),
            st.sampled_from([7, 8, 9, "7"]),
            st.sampled_from([*KINDS, *UNDOS, "unweighted"]),
            st.sampled_from([None, 0.0, 1.0, 2.5, 40.0, 60.0]),
            st.sampled_from([None, -1.0, 0.0, 2.0, 300.0]),
        ),
        st.builds(forget, st.sampled_from([1, 2, "1"]), st.sampled_from([0.0, 2.0, 45.0])),
    ),
    max_size=14,
)


UNDONE = ",unwatch=undo:watch,unplay=undo:play,return=undo:buy"
SPELLED = (
    "watch=1,play=0.5,buy=2,skip=0",
    "watch=1,play=0.5,buy=2,skip=0" + UNDONE,
    "watch=1:log,play=2:sqrt:floor=1,buy=1:binary,skip=3:log:floor=2" + UNDONE,
    "watch=1:bm25,play=2:bm25:k1=1.2:b=0.5:per=user,buy=1,skip=1:bm25:b=0:floor=1" + UNDONE,
)


@given(
    spelled=st.sampled_from(SPELLED),
    days=st.sampled_from([0.0, 0.0003]),
    events=events,
    share=st.floats(0, 1),
)
@settings(max_examples=30)
def test_learned_cells_and_fresh_events_weigh_what_training_makes_of_the_whole_log(
    spelled: str, days: float, events: list[Interaction], share: float
) -> None:
    hyperparameters = parameters(
        event_weights=parse_event_weights(spelled), half_life_days=days, window_days=2 * days
    )
    learned = round(share * len(events))
    before = gathered_of(events[:learned], hyperparameters)

    expected = by_training(events, before, hyperparameters)

    assert by_merging(events, learned, before, hyperparameters) == expected


def test_what_was_undone_stays_undone_wherever_the_snapshot_ends() -> None:
    hyperparameters = parameters(event_weights=parse_event_weights(SPELLED[1]))
    for did in (
        (("watch", 10.0), ("unwatch", 20.0), ("watch", 15.0), ("buy", 5.0)),
        (("unwatch", 20.0), ("watch", 15.0), ("return", 30.0), ("buy", 25.0)),
        (("buy", 5.0), ("return", 20.0), ("buy", 15.0), ("watch", 1.0), ("buy", 30.0)),
    ):
        others = [watch(2, 7), watch(2, 8)]  # so that every version knows the item
        own = [Interaction(user_id=1, item_id=7, event=kind, timestamp=at) for kind, at in did]
        for learned in range(len(own) + 1):
            log = others + own
            cut = len(others) + learned
            before = gathered_of(log[:cut], hyperparameters)
            assert by_merging(log, cut, before, hyperparameters) == by_training(
                log, before, hyperparameters
            ), (did, learned)


def test_whole_seconds_take_four_bytes_and_others_eight() -> None:
    for at, width in ((20.0, 4), (20.25, 8)):
        kept = cells_to_keep(
            gathered_of([watch(1, 7, at=at), watch(1, 8)], parameters()), parameters()
        )

        assert kept.time.dtype.itemsize == width
        assert kept.time.tolist() == [at, 0.0]


def test_of_a_cell_with_several_kinds_the_latest_comes_first_and_the_others_lie_apart() -> None:
    hyperparameters = parameters(event_weights=parse_event_weights("watch=1,play=1,buy=1"))
    played = Interaction(user_id=1, item_id=7, event="play", timestamp=9.5)
    bought = Interaction(user_id=1, item_id=7, event="buy", timestamp=9.5)

    kept = cells_to_keep(
        gathered_of([watch(1, 7, at=3.5), bought, played], hyperparameters), hyperparameters
    )

    assert (kept.kind.tolist(), kept.time.tolist()) == ([1], [9.5])
    assert [column.tolist() for column in kept.further] == [[0, 0], [0, 2], [1, 1], [3.5, 9.5]]


def test_a_user_without_anything_has_no_cells() -> None:
    cells = gathered_of([watch(1, 7)], parameters())
    kept = cells_to_keep(cells, parameters())
    seen = csr(cells, np.ones(1, np.bool_))

    merged = merge(
        [UserEvents(None, FreshHistory()), UserEvents(0, FreshHistory((), forgotten=True))],
        kept,
        seen.indptr,
        seen.indices,
        1,
        lambda _: None,
    )

    assert merged.indptr.tolist() == [0, 0, 0]
