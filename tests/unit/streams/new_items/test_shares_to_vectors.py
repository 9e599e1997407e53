"""Two workers' shares, through records, to vectors: as the slow twin has them, whatever happens."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from harness.slow_twin import Done, SlowTwin
from msgspec.structs import replace

from ops.bench.rig.synthetic import watched_once
from registry.fresh.event_columns import EventBatch
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_sight import FreshRange, FreshSight
from registry.new_items.new_item_records import NewItemKey, decode_record, vector_of_record
from registry.new_items.overlay import PlacedVector
from registry.rollout.command_log import EMPTY_LOG
from registry.settings import Settings
from registry.versions.capabilities.new_item_capability import has_new_items
from registry.versions.model import Model
from registry.wire.codec import encode
from registry.wire.training_records.event_weights import EventWeight, parse_event_weights
from registry.wire.training_records.gate_results import DataSnapshot
from streams.new_items import own_shares
from streams.new_items.new_item_parts import kept_versions
from streams.new_items.overlay_solving import KeyedRecord, OverlaySolving
from streams.new_items.own_shares import OwnShares
from streams.state.rollout_view import RolloutView
from tests.unit.registry.builders import a_description, a_manifest, a_state, some_arrays

NEW, OTHER = 1_000, 1_001
USERS = 30


def a_model(version: str = "v0.1", learned: bool = True, **given: Any) -> Model:
    arrays = some_arrays(USERS, 7, 3, item_ids=list(range(7)), **given)
    arrays.user_factors[4] = 0  # of user 5 nothing was learned
    if learned:
        cells = dataclasses.replace(watched_once(len(arrays.seen_items)), kinds=("watch", "rate"))
        arrays = dataclasses.replace(arrays, learned=cells)
    snapshot = DataSnapshot("s1", "reco.interactions", {"0": (0, 1), "1": (0, 0)}, 100, 5, 7)
    weights = {"watch": EventWeight(2.0, "log"), "rate": EventWeight(1.0, floor=2.0)}
    parameters = a_description().parameters
    manifest = a_manifest(
        version,
        data_snapshot=snapshot,
        parameters=type(parameters)(
            3, 15, 0.5, 1.5, 42, event_weights=weights, half_life_days=400.0
        ),
    )
    return Model(manifest, arrays)


class Fleet:
    """Two partitions' events, and workers that sum them up; `placed` is what is on the topic."""

    def __init__(self, *models: Model, least: int = 3) -> None:
        self.models = {model.version: model for model in models}
        self.done: defaultdict[int, list[Done]] = defaultdict(list)
        self._events: list[tuple[int, Done]] = []
        self.solving = OverlaySolving(least)
        self.least = least
        self.placed: dict[str, dict[Any, PlacedVector]] = {}
        self.sent: list[KeyedRecord] = []
        self.log = {0: 0, 1: 0}

    def did(self, user: int, item: int | None, kind: str = "watch", value: float = 1.0,
            time: float | None = None, partition: int | None = None) -> None:  # fmt: skip
        number = user % 2 if partition is None else partition
        at = self.log[number]
        self.log[number] += 1
        done = Done(number, at, item, kind, value, 2e9 + at if time is None else time)
        self.done[user].append(done)
        self._events.append((user, done))

    def sight(self, *partitions: int) -> FreshSight:
        log = EventLog()
        log.begin(dict.fromkeys(partitions, 0))
        for user, done in self._events:
            if done.partition in partitions:
                batch = EventBatch([done.offset], [user], [done.item], [done.kind],
                                   [done.value], [done.time])  # fmt: skip
                log.take(done.partition, batch, done.offset + 1)
        ranges = {
            name: FreshRange.of(
                {"0": (0, 1), "1": (0, 0)}, parse_event_weights("watch=1,rate=1"), model.row_of
            )
            for name, model in self.models.items()
        }
        return FreshSight(log.frozen, ranges, {})

    def look(self, worker: OwnShares, *partitions: int, sums: Any = None) -> int:
        """Have a worker look that follows these partitions; return how many records it sends."""
        places = [
            (name, number)
            for name in self.models
            for number in (partitions if sums is None else sums)
        ]
        records = worker.due(self.sight(*partitions), self.models, places)
        for record in records:
            self.solving.book.take(decode_record(encode(record)))
        return len(records)

    def solve(self, *kept: str) -> list[NewItemKey]:
        sent = self.solving.due(self.models, kept or self.models.keys(), self.placed)
        for key, record in sent:
            if key.kind == "solved":
                vectors = self.placed.setdefault(key.version, {})
                vectors.pop(key.item_id, None)
                if record is not None and record.solved is not None:
                    new = vector_of_record(record.solved)
                    vectors[key.item_id] = PlacedVector(*new, offset=1)
        self.placed = {version: vectors for version, vectors in self.placed.items() if vectors}
        return [key for key, _ in sent]

    def require_twins(self, *items: int) -> None:
        for name, model in self.models.items():
            twin = SlowTwin(model, Settings())
            assert set(self.placed.get(name, ())) == set(items)
            for item in items:
                users, vector = twin.new_vector(self.done, item)
                assert self.placed[name][item].users == users
                np.testing.assert_allclose(self.placed[name][item].vector, vector, atol=1e-4)


def busy_fleet() -> Fleet:
    """A fleet in which much has happened, but nothing was looked at."""
    fleet = Fleet(a_model(), a_model("v0.2", seed=4))
    fleet.did(2, NEW)  # offset 0 of partition 0: the versions have learned from it
    for user in (*range(1, 9), 99, 100):  # nobody knows 99 and 100, nor what to make of 5
        fleet.did(user, NEW, value=float(user))
        fleet.did(user, 3)
    fleet.did(6, NEW, "rate", 1.0)  # speaks against it
    fleet.did(7, NEW, "rate", 5.0)
    fleet.did(7, NEW, "rate", 4.0, time=1e9)  # arrived late: the one before counts
    fleet.did(8, NEW, "click", 9.0)  # of no kind that counts
    fleet.did(3, None, "forget")
    fleet.did(11, NEW, time=1.65e9)
    fleet.did(10, OTHER)
    return fleet


def test_two_workers_shares_make_the_slow_twins_vector() -> None:
    fleet, first, two = busy_fleet(), OwnShares(), OwnShares()

    assert fleet.look(first, 0) == 6  # of each version a list, and two shares
    assert fleet.look(two, 1) == 4
    fleet.solve()

    fleet.require_twins(NEW)  # of the other item too few users
    assert fleet.look(first, 0) == fleet.look(two, 1) == len(fleet.solve()) == 0


def test_what_users_do_later_changes_the_vector_and_a_forget_takes_a_part_back() -> None:
    fleet, first, two = busy_fleet(), OwnShares(), OwnShares()
    for users in ((12, 14, 16), (9, 13)):
        for user in users:
            fleet.did(user, OTHER)
        fleet.look(first, 0)
        fleet.look(two, 1)
        fleet.solve()
        fleet.require_twins(NEW, OTHER)
    for user in (12, 14, 16, 9):
        fleet.did(user, None, "forget")
    fleet.look(first, 0)
    fleet.look(two, 1)

    assert NewItemKey("solved", "v0.1", None, OTHER) in fleet.solve()
    fleet.require_twins(NEW)


def test_whoever_takes_a_partition_over_doubles_nothing_and_loses_nothing() -> None:
    fleet, first, two = busy_fleet(), OwnShares(), OwnShares()
    fleet.look(first, 0)
    fleet.look(two, 1)
    fleet.solve()
    fleet.did(20, NEW)  # `one` is killed before it has looked
    fleet.look(two, 1, 0)
    fleet.solve()
    fleet.require_twins(NEW)
    fleet.look(OwnShares(), 0)  # it starts again, and has the partition back
    fleet.look(two, 1)
    assert fleet.solve() == []
    fleet.solving = OverlaySolving(fleet.least)  # another owner, of all that is sent anew
    fleet.look(OwnShares(), 0)
    fleet.look(OwnShares(), 1)
    assert fleet.solve() == []


def test_a_user_in_two_partitions_after_a_growth_counts_once() -> None:
    fleet, first, two = busy_fleet(), OwnShares(), OwnShares()
    for user in (2, 8):
        fleet.did(user, NEW, partition=1)

    fleet.look(first, 0, 1, sums=(0,))
    fleet.look(two, 0, 1, sums=(1,))
    fleet.solve()

    fleet.require_twins(NEW)


def test_what_one_look_may_not_send_is_sent_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_shares, "SHARES_AT_ONCE", 1)
    fleet, worker = busy_fleet(), OwnShares()
    for user in (12, 14, 16):
        fleet.did(user, OTHER)
    counts = [fleet.look(worker, 0, 1) for _ in range(12)]
    assert counts == [5, *[1] * 5, *[0] * 6]  # 4 lists, and 6 shares one by one
    fleet.solve()
    fleet.require_twins(NEW, OTHER)


def test_a_version_that_nobody_names_any_more_takes_its_overlay_with_it() -> None:
    fleet = busy_fleet()
    fleet.look(OwnShares(), 0, 1)
    fleet.solve()
    assert set(fleet.placed) == {"v0.1", "v0.2"}
    gone = fleet.solve("v0.2")
    assert {key.version for key in gone} == {"v0.1"}
    assert {key.kind for key in gone} == {"share", "counted", "solved"}
    assert set(fleet.placed) == {"v0.2"}
    assert fleet.solve("v0.2") == []


def test_what_was_taken_back_comes_again_once_its_version_is_named_again() -> None:
    fleet, worker = busy_fleet(), OwnShares()
    for user in (12, 14, 16):
        fleet.did(user, OTHER)
    fleet.look(worker, 0, 1)
    fleet.solve()
    fleet.solve("v0.2")
    assert fleet.look(worker, 0, 1) == 0  # it had both versions in memory all the time

    worker.send_again()

    assert fleet.look(worker, 0, 1) == 10  # 4 lists, 6 shares
    fleet.solve()
    fleet.require_twins(NEW, OTHER)
    assert fleet.look(worker, 0, 1) == len(fleet.solve()) == 0


def test_what_is_sent_again_lets_go_first_what_never_was(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet, worker = busy_fleet(), OwnShares()
    fleet.look(worker, 0, 1)
    monkeypatch.setattr(own_shares, "SHARES_AT_ONCE", 2)
    fleet.did(11, OTHER)  # of another partition than the one before
    worker.send_again()

    places = [(name, number) for name in fleet.models for number in (0, 1)]
    records = worker.due(fleet.sight(0, 1), fleet.models, places)

    first = [record.share.item_id for record in records if record.share is not None]
    assert first == [OTHER, OTHER]


def test_of_a_partition_that_has_lost_events_nothing_counts_that_was_sent_before() -> None:
    fleet, first, two = busy_fleet(), OwnShares(), OwnShares()
    for user in (12, 14, 16):
        fleet.did(user, OTHER)  # all in partition 0
    fleet.look(first, 0)
    fleet.look(two, 1)
    fleet.solve()
    fleet.require_twins(NEW, OTHER)
    successor, lost = OwnShares(), [("v0.1", 0), ("v0.2", 0)]

    records = successor.due(fleet.sight(0), fleet.models, [], lost)

    assert len(records) == 2
    for record in records:
        fleet.solving.book.take(record)
    assert {key.item_id for key in fleet.solve()} >= {OTHER}
    assert all(OTHER not in vectors for vectors in fleet.placed.values())
    assert successor.due(fleet.sight(0), fleet.models, [], lost) == []  # it is said once
    assert fleet.look(successor, 0) == 6  # all is there again: of each version a list, two shares


def test_an_owner_whose_lease_is_out_takes_nothing_back() -> None:
    view = RolloutView(lease_seconds=10.0)
    view.offer_log(replace(EMPTY_LOG, state=a_state(), last_offset=3))
    assert kept_versions(view, None, 100.0) == ()
    view.lease.renew(100.0, 3, 3, 100.0)
    assert kept_versions(view, None, 105.0) == ("v0.1",)
    assert kept_versions(view, None, 111.0) == ()


def test_a_version_that_keeps_nothing_to_merge_with_has_no_new_items() -> None:
    assert has_new_items(a_model())
    assert not has_new_items(a_model(learned=False))
