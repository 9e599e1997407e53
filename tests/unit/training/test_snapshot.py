"""The snapshot's name: the same ranges have the same id, others have another."""

from __future__ import annotations

from training.snapshot import snapshot_id


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
