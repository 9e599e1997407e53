"""The fleet: who is live, whose counts belong together, and who keeps a step from beginning."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from harness.cells import each_cell

from registry.guardrails.fleet_counts import arms_at, shadow_at
from registry.guardrails.histogram import MAPPING
from registry.guardrails.live_workers import LIVE_SECONDS, WORKERS_NAMED, live
from registry.guardrails.predecessor_workers import predecessors
from registry.guardrails.ramp_barrier import readiness
from registry.guardrails.silent_workers import FORGET_SECONDS, carried, remembered, survival
from registry.wire.codec import decode, encode
from registry.wire.counts import ShadowCounts
from registry.wire.heartbeats import Heartbeat
from streams.state.control_log_rewrites import behind
from tests.unit.registry.builders import BEGAN_AT, a_heartbeat, an_arm

NOW = BEGAN_AT


def test_a_worker_is_live_until_it_has_been_silent_for_too_long() -> None:
    fleet = (a_heartbeat("new", at=NOW), a_heartbeat("late", at=NOW - LIVE_SECONDS))
    silent = a_heartbeat("silent", at=NOW - LIVE_SECONDS - 0.1)
    assert [heartbeat.worker for heartbeat in live((*fleet, silent), NOW)] == ["late", "new"]


def test_a_worker_that_said_goodbye_is_not_waited_for() -> None:
    assert live([a_heartbeat(stopping=True)], NOW) == ()


def test_a_restart_under_the_same_name_is_another_row() -> None:
    fleet = (a_heartbeat(instance="w1@2", ready=()), a_heartbeat(instance="w1@1"))
    assert [heartbeat.instance for heartbeat in live(fleet, NOW)] == ["w1@1", "w1@2"]
    assert readiness(fleet, NOW, 7, "v0.2").verdict == "inconclusive"


@each_cell(
    ("given", "kept"),
    [
        ({"at": NOW - FORGET_SECONDS}, True),
        ({"at": NOW - FORGET_SECONDS - 1}, False),
        ({"at": NOW - 86_400, "arms": (an_arm("canary", "v0.2"),)}, True),
        ({"at": NOW - 86_400, "arms": (an_arm("canary", "v0.2"),), "epoch": 6}, False),
        ({"at": NOW - 86_400, "arms": (an_arm("canary", "v0.2"),), "epoch": None}, False),
    ],
)
def test_a_silent_worker_is_remembered_while_its_counts_are_of_the_present_state(
    given: dict[str, Any], kept: bool
) -> None:
    assert bool(remembered([a_heartbeat(**given)], NOW, epoch=7)) is kept


def test_before_the_first_state_only_recent_workers_are_remembered() -> None:
    fleet = [a_heartbeat("old", at=NOW - 86_400, epoch=None), a_heartbeat("new", epoch=None)]
    assert [heartbeat.worker for heartbeat in remembered(fleet, NOW, None)] == ["new"]


def test_the_counts_of_dead_workers_stay_and_those_of_another_epoch_do_not_count() -> None:
    fleet = [
        a_heartbeat("w1", arms=(an_arm("primary", "v0.1", 100), an_arm("canary", "v0.2", 10))),
        a_heartbeat("dead", at=NOW - 86_400, arms=(an_arm("canary", "v0.2", 20),)),
        a_heartbeat("gone", stopping=True, arms=(an_arm("canary", "v0.2", 30),)),
        a_heartbeat("behind", epoch=6, arms=(an_arm("canary", "v0.2", 1000),)),
        a_heartbeat("fresh", epoch=None),
    ]
    assert [(arm.version, arm.requests) for arm in arms_at(fleet, 7)] == [
        ("v0.2", 60),
        ("v0.1", 100),
    ]


def test_the_shadow_comparisons_of_an_epoch_are_summed() -> None:
    fleet = [
        a_heartbeat("w1", shadow=ShadowCounts(compared=10, overlap=5.0)),
        a_heartbeat("w2", shadow=ShadowCounts(compared=1, overlap=0.5)),
        a_heartbeat("w3", shadow=ShadowCounts(compared=99), epoch=6),
        a_heartbeat("w4"),
    ]
    assert shadow_at(fleet, 7) == ShadowCounts(compared=11, overlap=5.5)
    assert shadow_at([], 7) == ShadowCounts()


def test_without_a_live_worker_readiness_is_an_error_and_not_a_pass() -> None:
    silent = a_heartbeat(at=NOW - 100)
    assert readiness([], NOW, 7, "v0.2").verdict == "error"
    assert readiness([silent], NOW, 7, "v0.2").verdict == "error"


def test_a_step_may_begin_once_every_live_worker_is_ready() -> None:
    fleet = [a_heartbeat("w1"), a_heartbeat("w2"), a_heartbeat("dead", at=0, ready=())]
    found = readiness(fleet, NOW, 7, "v0.2")
    assert (found.verdict, found.message) == ("pass", "v0.2 is ready on all 2")
    assert found.figures == {"ready": 2.0, "workers": 2.0}


def test_workers_that_keep_a_step_from_beginning_are_named_with_why() -> None:
    fleet = [
        a_heartbeat("fine"),
        a_heartbeat("broken", ready=("v0.1",), failures={"v0.2": "als/titles.json is missing"}),
        a_heartbeat("loading", ready=("v0.1",)),
        a_heartbeat("behind", epoch=6),
        a_heartbeat("new", epoch=None),
    ]
    found = readiness(fleet, NOW, 7, "v0.2")
    assert found.verdict == "inconclusive"
    assert found.message == (
        "v0.2 is not ready on behind (still acts on epoch 6, not 7), "
        "broken (als/titles.json is missing), loading (not loaded yet), "
        "new (still acts on epoch None, not 7)"
    )
    assert found.figures == {"ready": 1.0, "workers": 5.0}


def test_a_worker_that_joins_is_waited_for() -> None:
    fleet = [a_heartbeat("w1"), a_heartbeat("w2", epoch=None, ready=())]
    assert readiness(fleet, NOW, 7, "v0.2").message == "v0.2 is not ready on w2 (not loaded yet)"


CANARY = ("v0.1", "v0.2")


@each_cell(
    ("silent", "alive", "verdict"),
    [
        (0, 0, "pass"),
        (0, 3, "pass"),
        (1, 0, "pass"),  # one may die of anything, also the only one
        (1, 1, "pass"),
        (2, 0, "fail"),
        (2, 1, "fail"),
        (2, 2, "fail"),
        (2, 3, "pass"),
        (3, 3, "fail"),
        (3, 4, "pass"),
    ],
)
def test_a_version_fails_once_half_of_its_workers_and_two_have_fallen_silent(
    silent: int, alive: int, verdict: str
) -> None:
    at = NOW - LIVE_SECONDS - 0.1
    fleet = [a_heartbeat(f"dead{n}", at=at) for n in range(silent)]
    fleet += [a_heartbeat(f"w{n}") for n in range(alive)]
    fleet.append(a_heartbeat("new", epoch=None))  # somebody must be there to judge
    found = survival(fleet, 7, "v0.2")
    assert (found.guardrail, found.verdict) == ("workers", verdict)
    assert found.figures == {"silent": float(silent), "workers": float(silent + alive)}
    assert found.message.startswith(f"{silent} of {silent + alive} fell silent")


@each_cell(
    "given",
    [{"at": NOW - LIVE_SECONDS}, {"stopping": True}, {"epoch": 6}, {"ready": ("v0.1",)}],
    ids=["a late heartbeat", "a goodbye", "another state", "without the version"],
)
def test_what_is_no_death_of_the_version_does_not_count_as_one(given: dict[str, Any]) -> None:
    silent = {"at": NOW - 100} | given
    fleet = [a_heartbeat(name, **silent) for name in ("w1", "w2")]
    assert survival(fleet, 7, "v0.2").verdict == "pass"


def test_while_nobody_is_heard_of_nobody_is_silent() -> None:
    held_up = [a_heartbeat(name, at=NOW - 100) for name in ("w1", "w2")]
    assert survival(held_up, 7, "v0.2").verdict == "pass"


def test_the_workers_that_fell_silent_are_named_and_not_too_many_of_them() -> None:
    fleet = [a_heartbeat(f"w{n:03}", at=NOW - 100) for n in range(500)]
    fleet.append(a_heartbeat("new", epoch=None))
    found = survival(fleet, 7, "v0.2")
    assert found.message.startswith("500 of 500 fell silent without stopping: w000, w001")
    assert len(encode(found)) < 10_000


def test_a_finding_about_a_huge_fleet_stays_small_enough_for_a_command() -> None:
    why = {"v0.2": "a stack trace " * 1000}
    fleet = [a_heartbeat(f"w{n:03}", ready=(), failures=why) for n in range(500)]
    found = readiness(fleet, NOW, 7, "v0.2")
    assert len(encode(found)) < 10_000
    assert f"w{WORKERS_NAMED - 1:03} (" in found.message
    assert found.message.endswith("480 more")


def a_full_histogram() -> dict[int, int]:
    """Return a million durations in every bucket from a microsecond to a year."""
    return dict.fromkeys(range(MAPPING.key(1e-6), MAPPING.key(3e7) + 1), 1_000_000)


def test_a_heartbeat_with_every_bucket_full_is_a_small_record() -> None:
    full = a_full_histogram()
    arms = tuple(
        an_arm(variant, "v0.2", 10**9, errors=10**9, scoring=full, latency=full)
        for variant in ("primary", "canary")
    )
    heartbeat = a_heartbeat(
        arms=arms, shadow=ShadowCounts(primary=full, canary=full), failures={"v0.2": "x" * 1000}
    )
    payload = encode(heartbeat)
    assert len(payload) < 100_000  # Kafka takes a million
    assert decode(Heartbeat, payload) == heartbeat
    text = json.dumps(msgspec.to_builtins(heartbeat, str_keys=True))
    assert msgspec.convert(json.loads(text), Heartbeat, str_keys=True) == heartbeat


# --- the log, the release before, and workers that are no more -------------------------------


@each_cell(
    ("given", "is_behind"),
    [
        ({"log_offset": 6}, True),
        ({"log_offset": -1}, True),
        ({"log_offset": 7}, False),
        ({"log_offset": 8}, False),
        ({"log_offset": None}, False),
        ({"log_offset": 6, "stopping": True}, False),
        ({"log_offset": 6, "reasons": ("recovering",)}, False),
        ({"log_offset": 6, "reasons": ("rollout_lease_expired",)}, True),
        ({"log_offset": 6, "at": NOW - 2}, True),
        ({"log_offset": 6, "at": NOW - 2.5}, False),
    ],
)
def test_a_worker_is_behind_if_it_said_of_late_that_it_knows_an_older_log(
    given: dict[str, Any], is_behind: bool
) -> None:
    fleet = (a_heartbeat("owner", log_offset=7), a_heartbeat("w2", **given))
    assert [heartbeat.worker for heartbeat in behind(fleet, 7, 2.0)] == ["w2"] * is_behind


def test_a_worker_that_is_no_longer_live_is_not_behind_however_long_ago_the_log_was_written() -> (
    None
):
    fleet = (a_heartbeat(log_offset=7), a_heartbeat("w2", at=NOW - LIVE_SECONDS - 1, log_offset=6))
    assert behind(fleet, 7, 3600.0) == ()


@each_cell(
    ("given", "is_one"),
    [
        ({}, True),
        ({"log_offset": -1}, False),
        ({"stopping": True}, False),
        ({"at": NOW - FORGET_SECONDS}, True),
        ({"at": NOW - FORGET_SECONDS - 1}, False),
    ],
)
def test_a_worker_of_the_release_before_names_no_log(given: dict[str, Any], is_one: bool) -> None:
    assert bool(predecessors([a_heartbeat(**given)], NOW)) is is_one


def test_a_heartbeat_of_the_release_before_is_read_and_one_of_this_release_by_it() -> None:
    before = {"worker": "w1", "instance": "w1@1", "environment": "production", "at": NOW}
    assert decode(Heartbeat, json.dumps(before).encode()).log_offset is None
    now = json.loads(encode(a_heartbeat(log_offset=-1, heard_at=NOW)))
    assert now["log_offset"] == -1  # a default that is left out would be taken for the one before
    assert set(now) - {"log_offset", "heard_at"} <= {
        *("worker", "instance", "environment", "at", "epoch", "ready", "failures", "lag"),
        *("requests_per_second", "owns_control", "reasons", "url", "arms", "shadow", "stopping"),
    }


def test_what_silent_workers_counted_under_the_state_is_carried_with_when_they_said_it() -> None:
    arms = (an_arm("canary", "v0.2"),)
    silent_at = NOW - FORGET_SECONDS - 1
    gone = a_heartbeat("gone", at=silent_at, arms=arms)
    fleet = (
        gone,
        a_heartbeat("alive", arms=arms),
        a_heartbeat("other", at=silent_at, arms=arms, epoch=6),
        a_heartbeat("idle", at=silent_at),
    )
    assert carried(fleet, NOW, 7) == (msgspec.structs.replace(gone, heard_at=silent_at),)
