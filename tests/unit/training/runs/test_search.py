"""A search varies weights and transforms too, and says what each change is worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.versions.manifest import Parameters
from registry.wire.training_records.event_weights import (
    kinds_weighed,
    parse_event_weights,
    undo_targets,
)
from registry.wire.training_records.interactions import Interaction
from tests.unit.training.builders import (
    cells_of,
    gathered,
    parameters,
    play_counts,
    rate,
    rows_of,
    watch,
)
from training.data.cells_from_rows import gather
from training.fitting.als import fit_als
from training.runs.search_space import SearchSpace, space_of
from training.runs.tune import SearchBounds, merged, tune

RAW = parameters(event_weights=parse_event_weights("watch=1,rate=2:log:floor=1"), factors=8)


def test_weights_of_all_kinds_but_one_and_transforms_of_differing_values_are_varied() -> None:
    cells = cells_of(watch(1, 1), watch(1, 2), watch(2, 2), rate(1, 1, 3.0), rate(2, 1, 4.0))
    space = space_of(cells, RAW)

    assert space.present == {
        "factors": 8,
        "iterations": 8,
        "regularization": 0.05,
        "alpha": 1.0,
        "weight_of_rate": 2.0,
        "transform_of_rate": "log",
    }


def test_kinds_that_take_others_back_are_not_varied() -> None:
    start = parameters(event_weights=parse_event_weights("rate=2,watch=1,unwatch=undo:watch"))
    undo = Interaction(user_id=2, item_id=2, event="unwatch", timestamp=1.0)
    rows = rows_of([watch(1, 1), watch(1, 2), watch(2, 2), undo, rate(1, 1, 3), rate(2, 1, 4)])
    kinds, undoes = kinds_weighed(start.weights), undo_targets(start.weights)
    space = space_of(gather(lambda _columns: [(0, rows)], kinds, undoes).cells, start)

    assert (space.weighed, space.transformed) == (("watch",), ("rate",))


def test_what_is_chosen_goes_into_the_parameters_and_back_again_one_by_one() -> None:
    space = SearchSpace(RAW, ("rate",), ("watch",))
    best = space.parameters({"factors": 16, "weight_of_rate": 3.14159, "transform_of_watch": "log"})

    assert best.factors == 16
    assert best.weights == parse_event_weights("watch=1:log,rate=3.14:log:floor=1")
    assert set(space.changed(best)) == {"factors", "weight_of_rate", "transform_of_watch"}
    assert space.without(best, "transform_of_watch").weights == parse_event_weights(
        "watch=1,rate=3.14:log:floor=1"
    )
    assert space.parameters(space.present) == RAW


def test_older_spellings_leave_the_file_that_the_winner_is_written_to() -> None:
    text = merged("A=1\nRETRAIN_WEIGHT_WATCH=3\n", {"RETRAIN_EVENT_WEIGHTS": "watch=1:log"})

    assert text == "A=1\nRETRAIN_EVENT_WEIGHTS=watch=1:log\n"


def test_on_play_counts_the_search_leaves_linear_and_says_what_that_is_worth(
    tmp_path: Path,
) -> None:
    pytest.importorskip("optuna")
    start = Parameters(8, 5, 3.0, 1.0, 42, event_weights=parse_event_weights("watch=1"))
    cells = gathered(play_counts(users=80)).cells

    found = tune(
        cells,
        "sha256:1",
        start,
        0.2,
        SearchBounds(4, 60),
        tmp_path / "study",
        fit_als,
        1,
        lambda _trial, _best: None,
        "random",
    )

    assert found.chosen["transform_of_watch"] != "linear"
    assert found.worth["transform_of_watch"].value > 0.1
    assert found.trials[0].parameters == start
