"""The snapshot: its name, and what it takes out of the segments that it is made of."""

from __future__ import annotations

import uuid

import pytest

from registry.settings import read_settings
from registry.storage.objects import Objects
from registry.wire.training_records.event_weights import DEFAULT, parse_event_weights
from registry.wire.training_records.gate_results import DataSnapshot
from tests.unit.training.builders import forget, rows_of, watch
from training.data.snapshot import read_again, snapshot_id
from training.log.offset_ranges import Span
from training.log.segments import Segments


def test_the_id_tells_topic_ranges_and_losses_apart_and_nothing_else() -> None:
    ranges = {0: (0, 7), 1: (0, 9)}
    ids = {
        snapshot_id("a", ranges),
        snapshot_id("b", ranges),
        snapshot_id("a", {0: (0, 7), 1: (0, 8)}),
        snapshot_id("a", {0: (0, 7), 2: (0, 9)}),
        snapshot_id("a", {0: (0, 9), 1: (0, 7)}),
        snapshot_id("a", ranges, {"0": [(1, 2)]}),
        snapshot_id("a", ranges, {"1": [(1, 2)]}),
    }

    assert len(ids) == 7
    assert snapshot_id("a", dict(reversed(ranges.items()))) == snapshot_id("a", ranges, {})


def test_a_forgotten_user_is_wiped_out_of_all_tables_that_a_segment_is_read_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.log.segments.ROWS_AT_ONCE", 2)
    url = f"memory://test-snapshot/{uuid.uuid4().hex}"
    events = [watch(1, 7), watch(2, 7), watch(1, 8), watch(2, 8), watch(1, 9), forget(1)]
    segments = Segments(Objects(url), "log")
    segments.add(0, Span(0, 6), rows_of(events))
    described = DataSnapshot("an id", "log", {"0": (0, 6)}, 0, 0, 0)

    found = read_again(
        read_settings({"MODEL_REGISTRY": url}), described, parse_event_weights(DEFAULT)
    )

    again = read_again(
        read_settings({"MODEL_REGISTRY": url}), described, parse_event_weights(DEFAULT)
    )

    assert (found.records, found.described.unusable) == (6, {"forgotten": 3})
    assert again.described == found.described  # the `forget` still knows that it met its user
    assert found.cells.user_ids == (2,)
    rows = [row for _, table in segments.read(0, Span(0, 6)) for row in table.to_pylist()]
    assert [row["user_int"] for row in rows] == [None, 2, None, 2, None, 1]
