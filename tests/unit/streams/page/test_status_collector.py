"""The report: who plays which role, who gets which share, and why a worker is not ready."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from harness.builders import some_parts
from harness.cells import each_cell

from registry.rollout.command_log import COMMANDS_REMEMBERED, EMPTY_LOG, ControlLog, follow
from registry.versions.store import Store
from registry.wire.commands import Command, Promote, Retrain, Swap
from registry.wire.counts import ArmCounts
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import BEGINNING
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.training_messages import TrainingResult, TrainingRun
from streams.observers import build_observers
from streams.page.registry_listing import LIST_SECONDS, RegistryListing
from streams.page.status_collector import (
    COMMANDS_SHOWN,
    StatusCollector,
    _roles,
    _share,
    latest_commands,
)
from streams.page_serving import collector_of
from streams.state.liveness import REBALANCE_SECONDS
from tests.unit.registry.builders import (
    a_canary_state,
    a_description,
    a_manifest,
    a_state,
    some_arrays,
)

FIXED_WITH_CANARY = a_canary_state(strategy="fixed")


def collector(parts: Any) -> StatusCollector:
    listing = RegistryListing(parts.node.store, parts.node.view)
    return collector_of(parts, build_observers(parts), listing)


def reasons(parts: Any) -> list[str]:
    return [reason.code for reason in build_observers(parts).readiness.reasons()]


@each_cell(
    ("state", "roles"),
    [
        (None, {}),
        (a_state(), {"v0.1": "primary"}),
        (a_canary_state(), {"v0.1": "primary", "v0.2": "canary", "v0.0": "previous"}),
        (FIXED_WITH_CANARY, {"v0.1": "primary", "v0.2": "canary", "v0.0": "previous"}),
        (a_state(previous_versions=("v0.3", "v0.2")), {"v0.1": "primary", "v0.3": "previous"}),
        (
            a_canary_state(previous_versions=("v0.2",)),
            {"v0.1": "primary", "v0.2": "canary"},
        ),
    ],
)
def test_each_version_of_the_state_has_its_most_important_role(
    state: RolloutState | None, roles: dict[str, str]
) -> None:
    assert _roles(state) == roles


@each_cell(
    ("state", "shares"),
    [
        (None, {"v0.1": 0}),
        (a_state(), {"v0.1": 100, "v0.9": 0}),
        (a_canary_state(), {"v0.1": 90, "v0.2": 10, "v0.0": 0}),
        (a_canary_state(canary_percentage=100.0), {"v0.1": 0, "v0.2": 100}),
        (a_canary_state(strategy="ab_test"), {"v0.1": 50, "v0.2": 50}),
        (a_canary_state(strategy="shadow"), {"v0.1": 100, "v0.2": 0}),
        (FIXED_WITH_CANARY, {"v0.1": 100, "v0.2": 0}),
    ],
)
def test_the_shares_are_the_percentages_of_users_that_the_rules_give(
    state: RolloutState | None, shares: dict[str, float]
) -> None:
    assert {version: _share(version, state) for version in shares} == shares


def test_a_worker_whose_table_is_being_read_says_so_and_nothing_else(tmp_path: Path) -> None:
    parts = some_parts(tmp_path)
    parts.table.recovered = False
    assert reasons(parts) == ["recovering"]


def test_a_worker_without_the_lease_or_a_version_gives_both_reasons(tmp_path: Path) -> None:
    assert reasons(some_parts(tmp_path)) == ["rollout_lease_expired", "no_version"]


def test_a_worker_that_does_not_act_on_the_newest_state_yet_says_so(tmp_path: Path) -> None:
    parts = some_parts(tmp_path, a_state())
    parts.node.view.renew_lease(time.time(), -1, time.time())
    (reason,) = build_observers(parts).readiness.reasons()
    assert reason.code == "version_not_ready"
    assert reason.message == "primary version v0.1: being loaded"


def test_a_worker_that_acts_on_the_newest_state_is_ready(tmp_path: Path) -> None:
    parts = some_parts(tmp_path, a_state())
    parts.node.view.renew_lease(time.time(), -1, time.time())
    parts.node.acting = parts.node.view.state
    assert reasons(parts) == []


def test_a_rebalance_is_no_reason_to_restart_until_it_is_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    parts = some_parts(tmp_path)
    liveness = build_observers(parts).liveness
    parts.app.rebalancing = True
    assert liveness.is_alive()
    now[0] += REBALANCE_SECONDS
    assert liveness.is_alive()
    now[0] += 1
    assert not liveness.is_alive()
    parts.app.rebalancing = False
    assert liveness.is_alive()


def test_a_worker_whose_faust_has_crashed_is_not_ready_and_begins_again_by_itself(
    tmp_path: Path,
) -> None:
    parts = some_parts(tmp_path, a_canary_state(primary_version="v0.1"))
    parts.app.crashed = True

    assert [reason.code for reason in build_observers(parts).readiness.reasons()] == ["recovering"]
    assert build_observers(parts).liveness.is_alive()


def test_a_worker_that_kafka_does_not_hear_says_so_and_is_alive_until_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = some_parts(tmp_path, outage_seconds=100)
    observers, now = build_observers(parts), time.monotonic()
    liveness = observers.liveness
    parts.contact.note_sent(now - 50)
    assert [reason.code for reason in observers.readiness.reasons()] == ["kafka_unreachable"]
    assert liveness.is_alive()

    monkeypatch.setattr("time.monotonic", lambda: now + 60)
    assert not liveness.is_alive()
    parts.contact.note_confirmed()
    assert liveness.is_alive()


def test_a_rebalance_is_not_stuck_while_kafka_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = some_parts(tmp_path)
    observers, now = build_observers(parts), time.monotonic()
    liveness = observers.liveness
    parts.app.rebalancing = True
    parts.contact.note_sent(now - 50)
    assert liveness.is_alive()

    monkeypatch.setattr("time.monotonic", lambda: now + 200)
    assert liveness.is_alive()
    parts.contact.note_confirmed()
    assert liveness.is_alive()
    monkeypatch.setattr("time.monotonic", lambda: now + 400)
    assert not liveness.is_alive()


def test_the_status_shows_what_is_named_and_what_is_in_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.page.status_collector.distribution_version", lambda name: "0.1.0")
    parts = some_parts(tmp_path, a_canary_state(primary_version="v0.2", canary_version="v0.9"))
    for _ in range(2):
        Store(parts.settings.model_registry).publish(some_arrays(), a_description())
    (tmp_path / "model_registry" / "v0.1" / "meta.json").write_text("damaged")
    parts.metrics.requests.labels("v0.2", "primary", "ok").inc(7)
    parts.metrics.fallbacks.labels("unknown_user").inc(2)

    status = collector(parts).collect()
    versions = [
        (version.version, version.role, version.residency, version.share)
        for version in status.versions
    ]
    assert versions == [
        ("v0.9", "canary", "absent", 10),
        ("v0.2", "primary", "absent", 90),
        ("v0.0", "previous", "absent", 0),
    ]
    assert [version.manifest is not None for version in status.versions] == [False, True, False]
    assert [version.traffic.answers for version in status.versions] == [0, 7, 0]
    assert status.fallbacks_by_reason == {"unknown_user": 2}
    assert (status.worker, status.environment, status.rollout) == (
        *("w1", "production"), parts.node.view.state,
    )  # fmt: skip


def test_the_registry_is_listed_when_something_is_told_and_now_and_then_but_not_at_each_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.page.status_collector.distribution_version", lambda name: "0.1.0")
    parts = some_parts(tmp_path)
    versions, now = iter([["v0.1"], ["v0.2"], ["v0.3"], ["v0.4"]]), [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(parts.node.store, "versions", lambda: next(versions))
    monkeypatch.setattr(parts.node.store, "manifest", lambda name: a_manifest(version=name))
    pages = collector(parts)

    def shown() -> list[str]:
        return [version.version for version in pages.collect().versions]

    assert [shown(), shown()] == [["v0.1"], ["v0.1"]]
    parts.node.view.offer_log(ControlLog(3))
    assert [shown(), shown()] == [["v0.2"], ["v0.2"]]
    ended = TrainingResult("run-1", "published")
    parts.node.view.offer_training(
        TrainingRun("run-1", "w1", "anna", BEGINNING, BEGINNING, result=ended)
    )
    assert [shown(), shown()] == [["v0.3"], ["v0.3"]]
    now[0] += LIST_SECONDS + 1
    assert [shown(), shown()] == [["v0.4"], ["v0.4"]]


def test_the_page_tells_the_same_rate_of_requests_as_the_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.page.status_collector.distribution_version", lambda name: "0.1.0")
    parts = some_parts(tmp_path)
    parts.fleet.requests_per_second = 12.5
    assert collector(parts).collect().requests_per_second == 12.5


def after(*commands: Command) -> tuple[Any, dict[int, RolloutState]]:
    """What is remembered after `commands`, and the state that each epoch stands for."""
    log, states = EMPTY_LOG, {}
    for offset, command in enumerate(commands):
        log = follow(log, command, offset=offset, at=BEGINNING, problems={}).log
        if log.state is not None:
            states[log.state.epoch] = log.state
    return log.remembered, states


def swap(version: str, **given: Any) -> Command:
    return Swap(f"to-{version}", "anna", model_version=version, **given)


def test_the_latest_commands_show_the_states_before_and_after_each() -> None:
    refused = Promote("c", "anna")
    remembered, states = after(swap("v0.1"), refused, swap("v0.2"), Retrain("r", "anna"))
    retrain, second, rejected, first = latest_commands(remembered, states)
    assert (first.before, first.after) == (None, states[0])
    assert (second.before, second.after) == (states[0], states[2])
    assert (rejected.before, rejected.after) == (None, None)
    assert (retrain.before, retrain.after) == (None, None)


def test_a_command_whose_states_this_worker_has_not_seen_shows_no_guess_of_them() -> None:
    remembered, states = after(*(swap(f"v0.{minor}") for minor in range(4)))
    third, second, first, _ = latest_commands(remembered, {3: states[3], 2: states[2]})
    assert (third.before, third.after) == (states[2], states[3])
    assert (second.before, second.after, first.after) == (None, None, None)


def test_where_older_commands_are_forgotten_the_oldest_one_left_shows_no_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.page.status_collector.COMMANDS_SHOWN", COMMANDS_REMEMBERED)
    remembered, states = after(*(swap(f"v0.{minor}") for minor in range(COMMANDS_REMEMBERED + 1)))
    *_, second, oldest = latest_commands(remembered, states)
    assert (oldest.before, oldest.after) == (None, None)
    assert (second.before, second.after) == (states[1], states[2])


def test_only_the_newest_commands_are_shown() -> None:
    remembered, states = after(*(swap(f"v0.{minor}") for minor in range(COMMANDS_SHOWN + 5)))
    shown = latest_commands(remembered, states)
    assert [worker.epoch for worker in shown] == list(range(COMMANDS_SHOWN + 4, 4, -1))


def test_the_status_holds_what_the_whole_fleet_counted_under_the_present_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.page.status_collector.distribution_version", lambda name: "0.1.0")
    parts = some_parts(tmp_path, a_canary_state(), api_token="secret")
    now = time.time()
    for name, epoch in (("w1", 7), ("w2", 7), ("w3", 6)):
        arms = (ArmCounts("canary", "v0.2", 10, users=5),)
        beat = Heartbeat(name, f"{name}@1", "production", now, epoch, arms=arms)
        parts.node.view.hear([beat], now)
    status = collector(parts).collect()
    assert [row.heartbeat.worker for row in status.fleet] == ["w1", "w2", "w3"]
    assert [(arm.variant, arm.requests) for arm in status.arms] == [("canary", 20)]
    assert status.split is not None
    assert status.look is None
    assert status.token_needed
