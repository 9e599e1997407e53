from __future__ import annotations

from typing import Any

from harness.cells import each_cell

from ops.clients.worker_pages import ReadinessPage
from ops.doctor.checkup import examine
from ops.doctor.clock_diagnoses import clock_diagnoses
from ops.doctor.fleet_diagnoses import worker_diagnoses
from registry.settings import Settings
from registry.wire.heartbeats import Heartbeat
from streams.watch.notices import Notice, Reason

LEASE = 20.0


def a_heartbeat(**given: Any) -> Heartbeat:
    fields = {"worker": "w1", "instance": "w1@1", "environment": "production", "at": 0.0}
    return Heartbeat(**fields | given)


@each_cell(
    ("seconds", "verdict", "words"),
    [
        (0.0, "ok", "within 0.0 s"),
        (-0.9, "ok", "within 0.9 s"),
        (1.1, "warning", "1.1 s ahead of the brokers'"),
        (-5.0, "warning", "5.0 s behind the brokers'"),
        (20.0, "failed", "20.0 s ahead of"),
    ],
)
def test_a_clock_is_judged_by_the_lease(seconds: float, verdict: str, words: str) -> None:
    (seen,) = clock_diagnoses({"w1": seconds}, LEASE)

    assert seen.verdict == verdict
    assert words in seen.detail


def test_without_heartbeats_no_clock_is_judged() -> None:
    (seen,) = clock_diagnoses({}, LEASE)

    assert seen.verdict == "skipped"


@each_cell(
    ("given", "verdict", "words"),
    [
        ({}, "ok", "w1 is ready"),
        ({"lag": 10}, "ok", "10 requests are waiting"),
        ({"lag": 11}, "warning", "11 requests are waiting"),
        ({"lag": 900, "requests_per_second": 100.0}, "ok", "900"),
        ({"reasons": ("version_not_ready",)}, "failed", "not ready: version_not_ready"),
        ({"failures": {"v0.2": "damaged"}}, "failed", "could not load v0.2: damaged"),
        ({"stopping": True}, "failed", "no worker of environment production"),
    ],
)
def test_a_worker_is_judged_by_its_heartbeat(
    given: dict[str, Any], verdict: str, words: str
) -> None:
    (seen,) = worker_diagnoses([a_heartbeat(**given)], Settings(), {})

    assert seen.verdict == verdict
    assert words in seen.detail


def test_what_a_worker_says_on_its_page_is_passed_on() -> None:
    page = ReadinessPage(
        (Reason("no_state", "create the topics"),), "w1", (Notice("same_name", "rename one"),)
    )
    unready = a_heartbeat(reasons=("no_state", "joining"))

    reason, notice = worker_diagnoses([unready], Settings(), {"w1@1": page})

    assert reason.detail == "w1 is not ready: no_state: create the topics; joining"
    assert (notice.verdict, notice.detail) == ("warning", "w1: same_name: rename one")


def test_settings_that_contradict_each_other_are_all_named_and_nothing_else_is_looked_at() -> None:
    found = list(examine({"ROLLOUT_STRATEGY": "canary", "RECSTREAM_READ_TOKEN": "peek"}))

    assert [(seen.check, seen.verdict) for seen in found] == [("settings", "failed")] * 2
    assert "CANARY_VERSION" in found[0].detail
