from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace

from registry.manifest import Check, DataSnapshot, Gate, Manifest, Parameters
from registry.records import (
    AnswerError,
    CommandResult,
    RolloutState,
    TrainingResult,
    TrainingRun,
)
from streams.page import ago, arms, changes, render, steps
from streams.status import PartitionLag, Reason, Status, Traffic, VersionStatus

NOW = "2026-11-23T12:00:00+00:00"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
VOID = {"meta", "link", "br", "img"}


def a_status(**given: Any) -> Status:
    """A worker that has just started: nothing has happened yet."""
    fields: dict[str, Any] = {
        "worker": "worker-1",
        "environment": "production",
        "program_version": "0.1.0",
        "started_at": "2026-11-23T11:59:00+00:00",
        "now": NOW,
        "reasons": (),
        "rollout": None,
        "acting_epoch": None,
        "lease_age_seconds": None,
        "lease_seconds": 20.0,
        "owns_control": False,
        "versions": (),
        "lag": (),
        "requests_per_second": 0.0,
        "fallbacks_by_reason": {},
        "dead_letters": 0,
        "training": None,
        "commands": (),
    }
    return Status(**fields | given)


def a_state(**given: Any) -> RolloutState:
    fields: dict[str, Any] = {
        "environment": "production",
        "epoch": 41,
        "strategy": "fixed",
        "primary_version": "v0.3",
        "updated_at": "2026-11-23T11:57:00+00:00",
        "updated_by": "anna",
    }
    return RolloutState(**fields | given)


def a_canary(percentage: float = 10.0, **given: Any) -> RolloutState:
    trial = {"strategy": "canary", "canary_version": "v0.4", "canary_percentage": percentage}
    return a_state(**trial | given)


def a_manifest(version: str = "v0.3", **given: Any) -> Manifest:
    fields: dict[str, Any] = {
        "version": version,
        "model_name": "als",
        "created_at": "2026-11-23T09:00:00+00:00",
        "created_by": "timer@worker-2",
        "git_sha": "ad22e9b1c2d3e4f5a6b7",
        "image_digest": "sha256:feed",
        "data_snapshot": DataSnapshot("sha256:5c1e", "t", {"0": (0, 9)}, 100_836, 610, 9_724),
        "parameters": Parameters(64, 15, 0.05, 40.0, 7),
        "metrics": {"ndcg_at_10": 0.12041, "hr_at_10": 0.4131},
        "gate": Gate(True, ()),
        "files": {},
    }
    return Manifest(**fields | given)


def a_version(version: str = "v0.3", **given: Any) -> VersionStatus:
    fields: dict[str, Any] = {"role": "primary", "residency": "ready", "share": 100.0}
    return VersionStatus(version=version, **fields | given)


def a_run(**given: Any) -> TrainingRun:
    fields: dict[str, Any] = {
        "run_id": "run-7",
        "worker": "worker-2",
        "requested_by": "anna",
        "started_at": "2026-11-23T11:58:00+00:00",
        "updated_at": "2026-11-23T11:58:09+00:00",
    }
    return TrainingRun(**fields | given)


def a_result(status: Any = "published", **given: Any) -> TrainingResult:
    return TrainingResult("run-7", status, **given)


def a_command_result(**given: Any) -> CommandResult:
    fields: dict[str, Any] = {
        "command_id": "c1",
        "type": "swap",
        "environment": "production",
        "status": "applied",
        "epoch": 41,
        "issued_by": "anna",
        "at": "2026-11-23T11:57:00+00:00",
    }
    return CommandResult(**fields | given)


class _Reader(HTMLParser):
    """What a browser would make of the page: visible words, elements and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


def read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def text_of(status: Status) -> str:
    return " ".join(" ".join(read(render(status)).words).split())


def section(status: Status, name: str) -> str:
    match = re.search(rf'<section class="[^"]*\b{name}\b.*?</section>', render(status), re.DOTALL)
    assert match is not None
    return " ".join(" ".join(read(match[0]).words).split())


def everything() -> Status:
    checks = (
        Check("users", "pass", "610", "at least 20"),
        Check("better_than_popularity", "fail", "NDCG@10 0.0702", "more than 0.0811"),
    )
    failed = a_result(
        "refused", code="gate", reason="worse than popularity", gate=Gate(False, checks)
    )
    return a_status(
        reasons=(Reason("lease", "Kafka is silent"),),
        rollout=a_canary(previous_versions=("v0.2",), salt="autumn", reason="a trial"),
        acting_epoch=40,
        lease_age_seconds=3.0,
        owns_control=True,
        versions=(
            a_version(share=90.0, manifest=a_manifest(), traffic=Traffic(1_234, 5, 4.3, 18.7)),
            a_version("v0.4", role="canary", residency="failed", share=10.0, error="a flipped bit"),
        ),
        lag=(PartitionLag(0, 12), PartitionLag(1, 0)),
        requests_per_second=298.4,
        fallbacks_by_reason={"version_not_ready": 31},
        dead_letters=7,
        training=a_run(result=failed),
        commands=(
            a_command_result(status="rejected", error=AnswerError("bad_percentage", "101: no")),
        ),
    )


def test_a_ready_worker_says_ready() -> None:
    status = a_status(owns_control=True)
    assert section(status, "readiness").startswith("Ready")
    assert "<title>Ready · worker-1" in render(status)
    assert "control owner up 1 min · 12:00:00 UTC" in section(status, "readiness")


def test_a_worker_that_is_not_ready_gives_every_reason() -> None:
    status = a_status(reasons=(Reason("a", "do this"), Reason("b", "or `that`")))
    shown = section(status, "readiness")
    assert shown.startswith("Not ready a do this b or that")
    assert "<title>NOT READY · worker-1" in render(status)


def test_a_rollout_shows_who_changed_it_when_and_why() -> None:
    state = a_canary(previous_versions=("v0.2", "v0.1"), bucketing="hash", salt="s", reason="trial")
    shown = section(a_status(rollout=state), "rollout")
    assert "changed 3 min ago by anna" in shown
    assert "why trial" in shown
    assert "bucketing hash, salt s" in shown
    assert "before v0.2, v0.1" in shown


@pytest.mark.parametrize(
    ("state", "shares"),
    [
        (a_state(), [("primary", "v0.3", 100.0)]),
        (a_canary(10.0), [("primary", "v0.3", 90.0), ("canary", "v0.4", 10.0)]),
        (a_canary(0.0), [("primary", "v0.3", 100.0), ("canary", "v0.4", 0.0)]),
        (a_canary(50.0, strategy="fixed"), [("primary", "v0.3", 100.0)]),
    ],
)
def test_the_split_is_what_the_strategy_gives(state: RolloutState, shares: Any) -> None:
    found = arms(a_status(rollout=state))
    assert [(arm.variant, arm.version, arm.percentage) for arm in found] == shares


def test_an_arm_of_no_users_has_no_segment_but_is_named() -> None:
    html = render(a_status(rollout=a_canary(0.0)))
    assert html.count("flex-grow:") == 1
    assert "canary v0.4 0 % of users" in text_of(a_status(rollout=a_canary(0.0)))


def test_a_canary_version_that_is_not_ready_here_is_marked() -> None:
    status = a_status(
        rollout=a_canary(), versions=(a_version(), a_version("v0.4", residency="loading"))
    )
    assert '<span class="canary unready" style="flex-grow:10.0">' in render(status)
    assert "loading on this worker; the primary version answers instead" in text_of(status)


def test_an_older_acting_epoch_is_called_behind() -> None:
    assert "acting on 40 behind" in text_of(a_status(rollout=a_state(), acting_epoch=40))
    assert "acting on 41 ✓ current" in text_of(a_status(rollout=a_state(), acting_epoch=41))
    assert "acting on none yet" in text_of(a_status(rollout=a_state()))


def test_a_lease_that_has_run_out_says_so() -> None:
    assert "lease age 3 s of 20 s" in text_of(a_status(lease_age_seconds=3.0))
    assert "lease age 25 s expired, lease 20 s" in text_of(a_status(lease_age_seconds=25.0))


def test_a_version_shows_its_provenance() -> None:
    status = a_status(versions=(a_version(manifest=a_manifest(), size_bytes=4_870_221),))
    shown = section(status, "versions")
    for words in (
        "v0.3 primary ready 100 %",
        "0.1204",
        "code ad22e9b1c2d3",
        "snapshot sha256:5c1e",
        "100,836 interactions, 610 users × 9,724 items",
        "3 h 0 min ago by timer@worker-2",
        "size 4.9 MB",
        "HR@10 0.4131",
        "factors 64",
        "image sha256:feed",
    ):
        assert words in shown


def test_a_version_shows_its_traffic_and_latency() -> None:
    status = a_status(versions=(a_version(traffic=Traffic(1_234, 5, 4.31, 1_870.0)),))
    assert "1,234 5 4.3 ms 1.87 s" in section(status, "versions")


def test_a_version_without_latency_says_no_data_yet_rather_than_zero() -> None:
    unasked = section(a_status(versions=(a_version(),)), "versions")
    assert "no data yet" in unasked
    assert " ms" not in unasked
    all_failed = section(a_status(versions=(a_version(traffic=Traffic(2, 2)),)), "versions")
    assert "2 2 no data yet no data yet" in all_failed


def test_a_version_without_a_manifest_says_so() -> None:
    status = a_status(versions=(a_version(residency="failed", error="meta.json: a flipped bit"),))
    assert "failed" in section(status, "versions")
    assert "meta.json: a flipped bit Provenance is not known" in section(status, "versions")


def test_lag_shows_the_worst_partitions_first() -> None:
    status = a_status(lag=(PartitionLag(0, 3), PartitionLag(1, 0), PartitionLag(2, 1_000)))
    shown = section(status, "traffic")
    assert "lag, records 1,003" in shown
    assert "Lag by partition 2 1,000 0 3 1 other caught up." in shown


def test_many_lagging_partitions_are_cut_and_the_rest_counted() -> None:
    status = a_status(lag=tuple(PartitionLag(number, number + 1) for number in range(20)))
    assert "4 others lag less." in section(status, "traffic")


def test_no_lag_is_called_caught_up() -> None:
    status = a_status(lag=(PartitionLag(0, 0), PartitionLag(1, 0)))
    assert "Caught up on all 2 partitions." in section(status, "traffic")


def test_fallbacks_are_counted_by_reason_the_most_frequent_first() -> None:
    shown = section(a_status(fallbacks_by_reason={"a": 1, "b": 1_200, "c": 0}), "traffic")
    assert "fallbacks 1,201" in shown
    assert "Fallbacks by reason b 1,200 a 1" in shown


def test_rates_and_dead_letters_are_shown() -> None:
    shown = section(a_status(requests_per_second=298.4, dead_letters=7), "traffic")
    assert "requests / s 298" in shown
    assert "dead letters 7" in shown


def test_a_running_training_shows_its_stage_and_how_far_it_is() -> None:
    status = a_status(training=a_run(stage="fit", done=9, total=15, message="iteration 9"))
    shown = section(status, "training")
    assert "running" in shown
    assert "snapshot done fit 9 of 15 evaluate to come" in shown
    assert "iteration 9" in shown
    assert 'aria-current="step"' in render(status)


def test_a_stage_without_units_is_at_work() -> None:
    assert "lock at work" in section(a_status(training=a_run()), "training")


def test_a_published_run_shows_version_announcement_and_checks() -> None:
    gate = Gate(True, (Check("better_than_popularity", "pass", "0.12", "more than 0.08"),))
    result = a_result(
        version="v0.4", gate=gate, stage_seconds={"fit": 4.8}, metrics={"hr_at_10": 0.5}
    )
    shown = section(a_status(training=a_run(result=result, announced="swap")), "training")
    assert "published" in shown
    assert "Published v0.4 , announced as swap ." in shown
    assert "better than popularity pass 0.12 more than 0.08" in shown
    assert "took 9 s" in shown
    assert "HR@10 0.5" in shown


def test_a_refused_run_shows_why_and_the_verdicts() -> None:
    shown = section(everything(), "training")
    assert "refused" in shown
    assert "gate worse than popularity" in shown
    assert "better than popularity fail NDCG@10 0.0702 more than 0.0811" in shown


def test_a_run_that_ended_before_the_gate_says_so() -> None:
    result = a_result("failed", code="died", reason="exit code -9")
    shown = section(a_status(training=a_run(result=result)), "training")
    assert "died exit code -9" in shown
    assert "The run ended before the gate." in shown


@pytest.mark.parametrize(
    ("run", "states"),
    [
        (a_run(), "current waiting waiting waiting waiting waiting waiting"),
        (a_run(stage="gate"), "done done done done current waiting waiting"),
        (
            a_run(result=a_result("failed", stage_seconds={"lock": 0, "snapshot": 1})),
            "done failed skipped skipped skipped skipped skipped",
        ),
        (
            a_run(result=a_result("failed", code="died")),
            "skipped skipped skipped skipped skipped skipped skipped",
        ),
        (
            a_run(result=a_result("refused", stage_seconds={"gate": 0, "snapshot": 1, "lock": 1})),
            "done done skipped skipped failed skipped skipped",
        ),
        (
            a_run(result=a_result(stage_seconds={"publish": 1}), announced="swap"),
            "skipped skipped skipped skipped skipped done done",
        ),
        (
            a_run(result=a_result(stage_seconds={"publish": 1})),
            "skipped skipped skipped skipped skipped done skipped",
        ),
        (
            a_run(result=a_result(stage_seconds={"publish": 1}, code="not_announced")),
            "skipped skipped skipped skipped skipped done failed",
        ),
    ],
)
def test_each_stage_is_in_the_state_that_the_run_tells(run: TrainingRun, states: str) -> None:
    assert " ".join(step.state for step in steps(run)) == states


def test_commands_show_what_they_changed() -> None:
    result = a_command_result(type="rollout", before=a_state(epoch=40), after=a_canary(2.5))
    shown = section(a_status(commands=(result,)), "commands")
    assert "rollout applied epoch 41 · 3 min ago · anna" in shown
    assert "strategy fixed → to canary" in shown
    assert "canary none → to v0.4" in shown
    assert "canary percentage 0 % → to 2.5 %" in shown


def test_the_first_state_shows_only_what_was_chosen() -> None:
    (change,) = changes(a_command_result(after=a_state()))
    assert (change.field, change.before, change.after) == ("primary", "none", "v0.3")


def test_a_refused_command_shows_its_error_and_no_change() -> None:
    assert "rejected" in section(everything(), "commands")
    assert "bad_percentage 101: no" in section(everything(), "commands")
    refused = a_command_result(status="rejected", before=a_state(), after=a_canary())
    assert changes(refused) == ()


def test_a_worker_without_anything_has_a_sentence_for_every_part() -> None:
    text = text_of(a_status())
    for words in (
        "No version is out yet.",
        "lease age no touch yet lease 20 s",
        "requests / s no data yet",
        "lag, records no data yet",
        "No request partition is assigned",
        "Fallbacks by reason None.",
        "No version yet.",
        "No training run yet.",
        "No command yet.",
    ):
        assert words in text
    assert " ms" not in text


def test_texts_of_others_cannot_run_or_break_out() -> None:
    hostile_state = a_canary(salt=HOSTILE, reason=HOSTILE, updated_by=HOSTILE, updated_at=HOSTILE)
    checks = (Check(HOSTILE, "error", HOSTILE, HOSTILE),)
    result = a_result(
        "failed", code=HOSTILE, reason=HOSTILE, gate=Gate(False, checks), metrics={HOSTILE: 1.0}
    )
    manifest = a_manifest(
        model_name=HOSTILE,
        git_sha=HOSTILE,
        image_digest=HOSTILE,
        created_by=HOSTILE,
        created_at=HOSTILE,
        metrics={HOSTILE: 1.0},
    )
    status = a_status(
        worker=HOSTILE,
        environment=HOSTILE,
        program_version=HOSTILE,
        reasons=(Reason(HOSTILE, f"`{HOSTILE}`"),),
        rollout=hostile_state,
        versions=(a_version(HOSTILE, role=HOSTILE, error=HOSTILE, manifest=manifest),),
        fallbacks_by_reason={HOSTILE: 1},
        training=a_run(run_id=HOSTILE, message=HOSTILE, requested_by=HOSTILE, result=result),
        commands=(
            a_command_result(issued_by=HOSTILE, reason=HOSTILE, at=HOSTILE, type=HOSTILE),
            a_command_result(status="rejected", error=AnswerError(HOSTILE, HOSTILE)),
        ),
    )
    page = read(render(status))
    assert page.elements["script"] == 1
    assert page.elements["img"] == 0
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_only_the_pages_own_script_is_allowed_to_run() -> None:
    html = render(a_status())
    (script,) = re.findall("<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html


def test_nothing_is_fetched_from_elsewhere() -> None:
    addresses = [
        value for name, value in read(render(everything())).attributes if name in ("src", "href")
    ]
    assert addresses
    assert all(address.startswith(("/", "data:")) for address in addresses)
    assert "@import" not in render(everything())


def test_the_page_refreshes_itself_with_and_without_script() -> None:
    html = render(a_status())
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in html
    assert "setTimeout(done, 2000)" in html


def test_a_restarted_worker_makes_the_page_load_anew() -> None:
    def mark(status: Status) -> str:
        return dict(read(render(status)).attributes)["data-worker"]

    status = a_status()
    assert mark(status) == mark(replace(status, now="2026-11-23T12:00:02+00:00"))
    assert mark(status) != mark(replace(status, started_at=NOW))


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("2026-11-23T11:59:59.5+00:00", "just now"),
        ("2026-11-23T11:59:55", "5 s ago"),
        ("2026-11-23T12:00:30Z", "in 30 s"),
        ("2026-11-21T12:00:00Z", "2 d 0 h ago"),
        ("yesterday", "yesterday"),
        ("", "at an unknown time"),
    ],
)
def test_times_are_distances_and_other_text_is_shown_as_it_is(then: str, words: str) -> None:
    assert ago(then, NOW) == words
