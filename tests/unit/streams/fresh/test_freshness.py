"""Freshness: what a worker follows, for how long answers wait for it, and what a batch sees."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry.fresh.event_log import EventLog
from registry.settings import Settings
from registry.versions.model import Model
from registry.versions.store import Store
from registry.wire.training_records.gate_results import DataSnapshot
from streams.fresh.fresh_reading import NOTHING_READ, Reading
from streams.fresh.freshness import Freshness, Shares
from tests.unit.registry.builders import a_description, some_arrays

TOPIC = "reco.interactions"  # of the versions' manifests, whose snapshots end at 100 in partition 0


class Follower:
    """Reads all at once, when it is asked to."""

    def __init__(self) -> None:
        self.wanted: list[Mapping[int, int]] = []
        self.reading: Reading = NOTHING_READ

    def follow(self, starts: Mapping[int, int]) -> None:
        self.wanted.append(starts)

    def read(self, shown_from: Mapping[int, int] | None = None) -> None:
        log, starts = EventLog(), self.wanted[-1]
        log.begin(starts, shown_from)
        self.reading = Reading(starts, log.frozen, starts)


class Scene:
    def __init__(self, models: Mapping[str, Model], topic: str = TOPIC, **settings: Any) -> None:
        self.follower, self.models = Follower(), models
        self.shares = Shares({0}, 1, 1)
        self.freshness = Freshness(Settings(**settings), topic, self.follower, lambda: self.shares)

    def refresh(self, now: float = 0.0) -> Scene:
        self.freshness.refresh(self.models, now)
        return self


def test_it_follows_from_the_end_of_the_snapshots_on_once(models: Mapping[str, Model]) -> None:
    scene = Scene(models).refresh().refresh().refresh()

    assert scene.follower.wanted == [{0: 100}]


def test_answers_wait_until_all_is_read_but_not_for_long(models: Mapping[str, Model]) -> None:
    scene = Scene(models, fresh_wait_seconds=0.3).refresh(now=10.0)
    assert scene.freshness.is_waited_for(10.2)
    assert not scene.freshness.is_waited_for(10.3)

    scene.follower.read()

    assert not scene.freshness.is_waited_for(10.2)


def test_they_wait_for_new_partitions_and_for_nothing_else(tmp_path: Path) -> None:
    ends = {"0": (0, 100), "1": (0, 200)}
    store = Store(str(tmp_path))
    snapshot = DataSnapshot("s1", TOPIC, ends, 300, 5, 7)
    version = store.publish(some_arrays(), a_description(data_snapshot=snapshot)).version
    scene = Scene({version: store.open(version)}, fresh_wait_seconds=0.3)
    scene.shares = Shares({0}, 2, 2)
    scene.refresh(now=0.0).follower.read()
    assert not scene.refresh(now=10.0).freshness.is_waited_for(10.0)

    scene.shares = Shares({0, 1}, 2, 2)
    scene.refresh(now=20.0)

    assert scene.follower.wanted == [{0: 100}, {0: 100, 1: 200}]
    assert scene.freshness.is_waited_for(20.2)
    scene.follower.read()
    assert not scene.freshness.is_waited_for(20.2)

    scene.shares = Shares({0}, 2, 2)
    assert not scene.refresh(now=30.0).freshness.is_waited_for(30.0)


def two_versions(folder: Path) -> tuple[Model, Model]:
    """Return one whose snapshot ends at 100, and an older one, whose ends at 40."""
    store = Store(str(folder))
    return tuple(
        store.open(
            store.publish(
                some_arrays(),
                a_description(data_snapshot=DataSnapshot("s", TOPIC, {"0": (0, end)}, 300, 5, 7)),
            ).version
        )
        for end in (100, 40)
    )


def test_a_version_that_reaches_further_back_answers_once_its_range_is_read(
    tmp_path: Path,
) -> None:
    newer, older = two_versions(tmp_path)
    scene = Scene({newer.version: newer}, fresh_ready_seconds=5.0).refresh()
    scene.follower.read()
    scene.models = {newer.version: newer, older.version: older}

    def ready(now: float) -> list[str]:
        return sorted(scene.refresh(now).freshness.ready(scene.models))

    assert ready(10.0) == [newer.version]
    assert scene.follower.wanted[-1] == {0: 40}
    scene.follower.read(shown_from={0: 100})  # what is before is being read
    sight = scene.freshness.sight()
    assert sight is not None
    assert (sight.fresh_state(newer.version, 0), list(sight.ranges)) == (
        "followed",
        [newer.version],
    )
    assert sight.beginnings(0) == {}
    assert ready(14.9) == [newer.version]
    scene.follower.read()
    assert ready(14.9) == [newer.version, older.version]

    scene.follower.read(shown_from={0: 100})  # who has answered goes on, whatever is read anew
    assert ready(15.0) == [newer.version, older.version]
    sight = scene.freshness.sight()
    assert sight is not None
    assert (sight.fresh_state(older.version, 0), sight.beginnings(0)) == ("catching_up", {"0": 100})


def test_it_waits_no_longer_than_it_may_and_not_at_all_where_nobody_answers(
    tmp_path: Path,
) -> None:
    newer, older = two_versions(tmp_path)
    scene = Scene({newer.version: newer}, fresh_ready_seconds=5.0).refresh(now=10.0)
    assert list(scene.freshness.ready(scene.models)) == [newer.version]
    scene.follower.read()
    scene.models = {newer.version: newer, older.version: older}
    scene.refresh(now=20.0)
    assert list(scene.freshness.ready(scene.models)) == [newer.version]
    assert len(scene.refresh(now=25.0).freshness.ready(scene.models)) == 2

    scene.models = {older.version: older}
    scene.refresh(now=30.0)
    scene.models = {}
    scene.refresh(now=31.0)
    scene.models = {newer.version: newer}
    assert list(scene.refresh(now=32.0).freshness.ready(scene.models)) == [newer.version]


def test_in_the_midst_of_a_rebalance_it_goes_on_with_what_it_had(
    models: Mapping[str, Model],
) -> None:
    scene = Scene(models).refresh()

    scene.shares = Shares((), 1, 1)
    scene.refresh()

    assert scene.follower.wanted == [{0: 100}]


def test_nothing_is_followed_before_it_is_known_how_many_partitions_there_are(
    models: Mapping[str, Model],
) -> None:
    scene = Scene(models, fresh_wait_seconds=0.3)
    scene.shares = Shares({0}, 1, 0)
    assert scene.refresh(now=10.0).follower.wanted == []
    assert scene.freshness.is_waited_for(15.2)
    assert not scene.freshness.is_waited_for(15.4)  # though nobody says it

    scene.shares = Shares({0}, 1, 1)

    assert scene.refresh(now=12.0).follower.wanted == [{0: 100}]
    assert scene.freshness.is_waited_for(12.2)  # the moment for reading begins only then
    assert not scene.freshness.is_waited_for(12.4)


def test_a_version_of_another_topic_has_nothing_fresh(models: Mapping[str, Model]) -> None:
    scene = Scene(models, topic="other.interactions").refresh()

    sight = scene.freshness.sight()

    assert sight is not None
    assert scene.freshness.foreign == ("v0.1", "v0.2")
    assert sight.fresh_state("v0.1", 0) == "unknown"
    assert scene.follower.wanted == []


def test_what_a_version_needed_goes_with_it(models: Mapping[str, Model]) -> None:
    scene = Scene(models).refresh()
    scene.models = {}

    scene.refresh()

    assert scene.follower.wanted == [{0: 100}, {}]


def test_a_batch_sees_whether_all_was_read(models: Mapping[str, Model]) -> None:
    scene = Scene(models).refresh()
    before = scene.freshness.sight()
    scene.follower.read()
    after = scene.freshness.sight()

    assert before is not None
    assert after is not None
    assert (before.fresh_state("v0.1", 0), after.fresh_state("v0.1", 0)) == (
        "catching_up",
        "followed",
    )


def test_switched_off_nobody_looks(models: Mapping[str, Model]) -> None:
    scene = Scene(models, fresh="off").refresh()

    assert scene.freshness.sight() is None
    assert scene.follower.wanted == []
    assert not scene.freshness.is_waited_for(0.0)


def test_each_partition_is_summed_up_by_the_worker_that_has_its_requests(
    models: Mapping[str, Model],
) -> None:
    scene = Scene(models, fresh="all")
    scene.shares = Shares({1}, 2, 4)
    scene.refresh()
    version, freshness = next(iter(models)), scene.freshness
    sight = freshness.sight()
    assert sight is not None
    assert freshness.own_partitions(sight, version) == []  # nothing has been read
    scene.follower.read()
    sight = freshness.sight()
    assert sight is not None
    assert freshness.own_partitions(sight, version) == [1, 3]
    assert freshness.own_partitions(sight, "another") == []
