"""The page: what it shows of a status, and what may run in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from harness.cells import each_cell
from msgspec.structs import replace

from registry.interleaving.preference import PreferenceTally, prefer
from registry.wire.counts import ShadowCounts
from registry.wire.field_types import AnswerError
from registry.wire.instants import Instant
from registry.wire.ramp_values import Finding, ShadowStep
from registry.wire.training_records.gate_results import Check, Gate
from registry.wire.training_records.training_messages import TrainingRun
from streams.fresh.fresh_reading import FreshStatus
from streams.outcomes.experiment_watch import WatchedExperiment
from streams.page.charts import steps
from streams.page.formatting import ago
from streams.page.render import POLICY, render, render_login, render_main
from streams.page.status import ItemsFollowed, PartitionLag, Status, VersionStatus, VersionTraffic
from streams.watch.notices import Reason
from tests.unit.streams.experiments import a_conclusion, an_experiment
from tests.unit.streams.statuses import (
    NOW,
    SECONDS,
    a_canary,
    a_command_result,
    a_fleet_status,
    a_heartbeat,
    a_manifest,
    a_plan,
    a_ramp,
    a_result,
    a_run,
    a_state,
    a_status,
    a_version,
    an_arm,
    everything,
)

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
VOID = {"meta", "link", "br", "img", "input"}


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
    assert "reason trial" in shown
    assert "bucketing hash, salt s" in shown
    assert "previous v0.2, v0.1" in shown


def test_an_arm_of_no_users_has_no_segment_but_is_named() -> None:
    html = render(a_status(rollout=a_canary(0.0)))
    assert len(re.findall(r'<span class="(primary|canary)[a-z ]* p\d+"><b>', html)) == 1
    assert "canary v0.4 0 % of users" in text_of(a_status(rollout=a_canary(0.0)))


def test_a_canary_version_that_is_not_ready_here_is_marked() -> None:
    status = a_status(
        rollout=a_canary(), versions=(a_version(), a_version("v0.4", residency="loading"))
    )
    assert '<span class="canary unready p10">' in render(status)
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
    status = a_status(versions=(a_version(traffic=VersionTraffic(1_234, 5, 4.31, 1_870.0)),))
    assert "1,234 5 4.3 ms 1.87 s" in section(status, "versions")


def test_a_version_without_latency_says_no_data_yet_rather_than_zero() -> None:
    unasked = section(a_status(versions=(a_version(),)), "versions")
    assert "no data yet" in unasked
    assert " ms" not in unasked
    all_failed = section(a_status(versions=(a_version(traffic=VersionTraffic(2, 2)),)), "versions")
    assert "2 2 no data yet no data yet" in all_failed


def test_a_version_without_a_manifest_says_so() -> None:
    status = a_status(versions=(a_version(residency="failed", error="meta.json: a flipped bit"),))
    assert "failed" in section(status, "versions")
    assert "meta.json: a flipped bit Provenance unknown" in section(status, "versions")


def test_lag_shows_the_worst_partitions_first() -> None:
    status = a_status(lag=(PartitionLag(0, 3), PartitionLag(1, 0), PartitionLag(2, 1_000)))
    shown = section(status, "traffic")
    assert "lag, records 1,003" in shown
    assert "Lag by partition 2 1,000 0 3 1 other caught up." in shown


def test_many_lagging_partitions_are_cut_and_the_rest_counted() -> None:
    status = a_status(lag=tuple(PartitionLag(number, number + 1) for number in range(20)))
    assert "4 others lag less." in section(status, "traffic")


@each_cell(("lag", "words"), [(0, "up to date"), (1_234, "1,234 records behind")])
def test_the_items_topic_is_shown_once_there_is_an_item(lag: int, words: str) -> None:
    items = ItemsFollowed(known=9_742, withdrawn=3, offset=12_000, lag=lag)
    shown = section(a_status(items=items), "traffic")
    assert f"Items topic 9,742 items, 3 withdrawn; {words}." in shown
    assert "Items topic" not in section(a_status(items=ItemsFollowed(0, 0, 0, 0)), "traffic")


def test_new_items_in_lists_are_counted_by_version() -> None:
    fresh = FreshStatus("partition", (0,), new_items={"v0.2": 1, "v0.3": 12})
    shown = section(a_status(fresh=fresh), "traffic")
    assert "New items in lists: 1 in those of v0.2, 12 in those of v0.3." in shown


def test_no_lag_is_called_caught_up() -> None:
    status = a_status(lag=(PartitionLag(0, 0), PartitionLag(1, 0)))
    assert "Caught up on all 2 partitions." in section(status, "traffic")


def test_fallbacks_are_counted_by_reason_the_most_frequent_first() -> None:
    shown = section(a_status(fallbacks_by_reason={"a": 1, "b": 1_200, "c": 0}), "traffic")
    assert "fallbacks 1,201" in shown
    assert "Fallbacks by reason b 1,200 a 1" in shown


def test_rates_and_dead_letters_are_shown() -> None:
    by_reason = {"empty": 2, "malformed": 5}
    status = a_status(requests_per_second=298.4, dead_letters=7, dead_letters_by_reason=by_reason)
    shown = section(status, "traffic")
    assert "requests / s 298" in shown
    assert "dead letters 7" in shown
    assert "Dead letters by reason 5 malformed, 2 empty" in shown


def test_a_running_training_shows_its_stage_and_how_far_it_is() -> None:
    status = a_status(training=a_run(stage="fit", done=9, total=15, message="iteration 9"))
    shown = section(status, "training")
    assert "running" in shown
    assert "snapshot done fit 9 of 15 evaluate pending" in shown
    assert "iteration 9" in shown
    assert 'aria-current="step"' in render(status)


def test_a_stage_without_units_is_at_work() -> None:
    assert "lock running" in section(a_status(training=a_run()), "training")


def test_a_published_run_shows_version_announcement_and_checks() -> None:
    gate = Gate(True, (Check("better_than_popularity", "pass", "0.12", "more than 0.08"),))
    result = a_result(
        version="v0.4", gate=gate, stage_seconds={"fit": 4.8}, metrics={"hr_at_10": 0.5}
    )
    shown = section(a_status(training=a_run(result=result, announced="swap")), "training")
    assert "published" in shown
    assert "Published v0.4 , announced as swap ." in shown
    assert "better than popularity pass 0.12 more than 0.08" in shown
    assert "duration 9 s" in shown
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


@each_cell(
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
    link = 'href="experiments/40/report"'
    assert link not in render(a_status(commands=(result,)))
    assert link in render(a_status(commands=(replace(result, reported_experiment=40),)))


def test_older_commands_and_versions_that_play_no_role_are_folded() -> None:
    commands = tuple(a_command_result(epoch=epoch) for epoch in range(9, 2, -1))
    shown = section(a_status(commands=commands), "commands")
    assert shown.index("epoch 6") < shown.index("3 older") < shown.index("epoch 5")
    assert "older" not in section(a_status(commands=commands[:4]), "commands")
    versions = (VersionStatus("v0.4", "primary", "ready"), VersionStatus("v0.3", "", "absent"))
    listed = section(a_status(versions=versions), "versions")
    assert listed.index("v0.4") < listed.index("1 more in the registry") < listed.index("v0.3")
    assert '<details id="others" open>' in render(a_status(versions=versions[1:]))


def test_a_bucketing_that_buckets_nobody_now_says_whom_it_is_for() -> None:
    for strategy, words in (("fixed", " for the next canary"), ("canary", "")):
        state = a_canary(strategy=strategy, bucketing="hash", salt="autumn")
        shown = section(a_status(rollout=state), "rollout")
        assert f"bucketing hash, salt autumn{words} previous" in shown


def test_a_refused_command_shows_its_error_and_no_change() -> None:
    assert "rejected" in section(everything(), "commands")
    assert "bad_percentage 101: no" in section(everything(), "commands")


def test_a_worker_without_anything_has_a_sentence_for_every_part() -> None:
    text = text_of(a_status())
    for words in (
        "No version is deployed.",
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


def test_only_the_pages_own_script_and_style_are_allowed() -> None:
    policy = dict(part.split(" ", 1) for part in POLICY["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    html = render(everything())
    for name in ("script", "style"):
        (text,) = re.findall(f"<{name}>(.*?)</{name}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{name}-src"] == f"'sha256-{digest}'"


@each_cell("status", [a_status(), everything()])
def test_no_element_has_a_style_or_a_script_of_its_own(status: Status) -> None:
    for html in (render(status), render(status, "command"), render_login("wrong")):
        names = {name for name, _ in read(html).attributes}
        assert "style" not in names
        assert not [name for name in names if name.startswith("on")]


def test_every_address_is_relative_so_that_a_proxy_may_put_a_path_before_it() -> None:
    status = replace(everything(), token_needed=True)
    for html in (render(status), render(status, "command"), render_login("")):
        attributes = read(html).attributes
        addresses = [value for name, value in attributes if name in ("src", "href", "action")]
        assert addresses
        for address in addresses:
            assert not address.startswith(("/", "http:", "https:")), address
        assert "@import" not in html
        assert not re.search(r"""(fetch|EventSource|action =)[ (]["'`]/""", html)


def test_what_follows_the_worker_is_the_inside_of_main() -> None:
    status = everything()
    inside = re.search('<main id="status" tabindex="-1">(.*)</main>', render(status), re.DOTALL)
    assert inside is not None
    assert inside[1].strip() == render_main(status).strip()


def test_no_form_and_no_field_stands_where_a_new_picture_would_take_it_away() -> None:
    inside = read(render_main(everything())).elements
    assert not {"form", "input", "button", "select", "script", "style"} & set(inside)


def test_what_can_have_the_focus_in_a_picture_has_an_id_to_give_it_back_by() -> None:
    inside = render_main(everything())
    assert "<summary" in inside
    assert all(" id=" in match for match in re.findall("<(?:a|summary)\\b[^>]*>", inside))


def test_the_page_without_its_script_says_that_it_stands_still() -> None:
    assert "Without JavaScript this page does not update by itself" in text_of(a_status())


def test_every_id_is_of_one_element() -> None:
    state = a_canary(5.0, ramp=a_ramp())
    ids = re.findall(' id="([^"]*)"', render(a_fleet_status(state, versions=everything().versions)))
    assert len(ids) == len(set(ids))


def test_every_field_of_a_form_has_a_label() -> None:
    page = render(everything())
    for label in re.findall("<label.*?</label>", page, re.DOTALL):
        assert re.search("<(input|select)", label), label
    outside = re.sub("<label.*?</label>", "", page, flags=re.DOTALL)
    assert set(re.findall(r"<(?:input|select)[^>]*name=\"([^\"]*)", outside)) == {"expected_epoch"}


def test_a_restarted_worker_makes_the_page_load_anew() -> None:
    def mark(status: Status) -> str:
        (opened,) = (
            value for name, value in read(render_main(status)).attributes if name == "data-now"
        )
        return str(json.loads(opened)["mark"])

    status = a_status()
    assert mark(status) == mark(replace(status, now=Instant.read("2026-11-23T12:00:02+00:00")))
    assert mark(status) != mark(replace(status, started_at=NOW))


@each_cell(
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


def test_a_ramp_shows_each_stage_as_done_now_or_to_come() -> None:
    plan = a_plan(shadow=ShadowStep(300, 0.5), soak_seconds=60)
    state = a_canary(5.0, ramp=a_ramp(2, plan=plan))
    shown = section(a_fleet_status(state), "rollout")
    assert "canary ramp under way" in shown
    for words in (
        "✓ prepare done ✓ shadow done ● 5 % 4 min of 10 min ○ 50 % pending ○ 100 % pending",
        "○ soak pending The canary version answers its share of users, and the guardrails compare.",
        "Decides in 6 min.",
    ):
        assert words in shown


def test_a_ramp_that_is_paused_says_how_it_goes_on() -> None:
    shown = section(a_fleet_status(a_canary(5.0, ramp=a_ramp(paused=True))), "rollout")
    assert "ramp paused" in shown
    assert "● 5 % paused" in shown
    assert "resume restarts this stage" in shown


def test_a_ramp_past_its_hold_says_that_it_waits() -> None:
    state = a_canary(5.0, ramp=a_ramp(since=Instant.read("2026-11-23T11:45:00+00:00")))
    shown = section(a_fleet_status(state, a_heartbeat()), "rollout")
    assert "Its hold is over; it waits for its guardrails" in shown


def test_a_ramp_shows_the_environments_after_this_one() -> None:
    state = a_canary(5.0, ramp=a_ramp(environments=("eu", "us")))
    assert "production → then eu → then us" in section(a_fleet_status(state), "rollout")


def test_the_last_ramp_shows_its_outcome_its_reason_and_where_it_ended() -> None:
    fail = Finding("error_rate", "fail", "errors 5.10 % of 1,204")
    ramp = a_ramp(2, outcome="rolled_back", environments=("eu",), findings=(fail,))
    status = a_fleet_status(a_state(ramp=ramp, updated_by="ramp", reason="step of 50 %: fail"))
    shown = section(status, "rollout")
    assert "Last ramp Rolled back, was at 50 % by ramp. step of 50 %: fail" in shown
    assert "✓ 5 % done ✕ 50 % rolled back ○ 100 % pending" in shown
    assert "production → eu not started" in shown
    assert section(status, "comparison").startswith(
        "Guardrails when the ramp ended ✕ fail error rate errors 5.10 % of 1,204"
    )


def test_a_ramp_that_promoted_is_done_in_all_its_stages() -> None:
    state = a_state(primary_version="v0.4", ramp=a_ramp(3, outcome="promoted"))
    shown = section(a_fleet_status(state), "rollout")
    assert "Last ramp Promoted by anna." in shown
    assert "✓ prepare done ✓ 5 % done ✓ 50 % done ✓ 100 % done" in shown


def test_every_finding_shows_its_verdict_in_words_the_worst_first() -> None:
    arms = (an_arm("canary", "v0.4", 2_000, errors=200), an_arm("primary", "v0.3", 38_000))
    status = a_fleet_status(a_canary(5.0, ramp=a_ramp()), a_heartbeat(arms=arms))
    shown = section(status, "comparison")
    assert shown.startswith("Guardrails fail ✕ fail error rate errors 10.00 % of 2,000")
    assert shown.index("✕ fail") < shown.index("✓ pass readiness")
    assert "Rolls back now." in section(status, "rollout")


def test_an_ab_test_shows_halves_and_checks_the_split_of_its_users() -> None:
    arms = (an_arm("A", "v0.3", 4_000), an_arm("B", "v0.4", 1_000))
    status = a_fleet_status(a_canary(strategy="ab_test"), a_heartbeat(arms=arms))
    assert "A v0.3 50 % of users" in section(status, "rollout")
    assert "B v0.4 50 % of users" in section(status, "rollout")
    assert "✕ fail sample ratio users 500" in section(status, "comparison")


def test_a_fixed_rollout_says_that_there_is_nothing_to_compare() -> None:
    assert "Nothing to compare." in section(a_fleet_status(a_state()), "comparison")


def test_shadow_shows_the_share_and_what_the_comparison_found() -> None:
    counts = ShadowCounts(1_000, 7, 0, 640.0, 580.0, 31.0, {-430: 9}, {-400: 9})
    state = a_canary(strategy="shadow", shadow_sample_percentage=25.0)
    status = a_fleet_status(state, a_heartbeat(shadow=counts))
    assert "shadow v0.4 scores the requests of 25 % of users in the background" in section(
        status, "rollout"
    )
    shown = section(status, "comparison")
    assert "compared 1,000 dropped under load 7 items in common 64 %" in shown
    assert "rank-biased overlap 0.580 score shift +0.031" in shown


def test_shadow_without_a_comparison_says_no_data_yet() -> None:
    shown = section(a_fleet_status(a_canary(strategy="shadow")), "comparison")
    assert "No data yet: no request has been scored by both versions." in shown


def test_an_interleaving_shows_both_halves_of_an_answer_and_whom_users_prefer() -> None:
    state = a_canary(strategy="interleave")
    preference = prefer("v0.3", "v0.4", PreferenceTally(1_030, 980, 22))
    status = replace(a_fleet_status(state), interleaving=preference)
    shown = section(status, "rollout")
    assert "Rollout interleaving" in shown
    assert "canary v0.4 50 % of the items of each answer" in shown
    shown = section(status, "interleaving")
    assert "prefer canary v0.4 1,030 prefer primary v0.3 980 ties 22" in shown
    assert "canary's share, without ties 51.24 % " in shown
    assert "No guardrail applies." in section(status, "comparison")


def test_an_interleaving_whose_outcomes_nobody_joins_says_so() -> None:
    shown = section(a_fleet_status(a_canary(strategy="interleave")), "interleaving")
    assert "Outcomes are not joined." in shown


def test_the_answers_of_the_whole_fleet_are_shown_by_variant() -> None:
    arms = (an_arm("canary", "v0.4", 500, errors=5, fallbacks=1), an_arm("primary", "v0.3", 4_000))
    fleet = (a_heartbeat(arms=arms), a_heartbeat("worker-2", arms=arms))
    shown = section(a_fleet_status(a_canary(), *fleet), "answers")
    assert "all workers, since epoch 41" in shown
    assert "canary v0.4 1,000 500 1 % 0.2 % 0 %" in shown
    assert "primary v0.3 8,000 4,000 0 % 0 % 0 %" in shown


def test_the_fleet_shows_each_worker_and_names_what_it_could_not_load() -> None:
    fleet = (
        a_heartbeat("worker-1", owns_control=True, lag=3, requests_per_second=120.0),
        a_heartbeat(
            *("worker-2",), epoch=40, log_offset=40, ready=("v0.3",),
            failures={"v0.4": "a flipped bit"}, reasons=("version_not_ready",),
        ),
        a_heartbeat("worker-3", at=SECONDS - 31),
        a_heartbeat("worker-4", at=SECONDS - 2, stopping=True),
    )  # fmt: skip
    shown = section(a_fleet_status(a_canary(), *fleet), "fleet")
    for words in (
        "Fleet 2 live workers, 120 requests / s",
        "worker-1 this one control owner live 0.5 s ago 41 older release v0.3, v0.4 3 120",
        "worker-2 live 0.5 s ago 40, behind 40 v0.3",
        "Not ready: version_not_ready v0.4 failed: a flipped bit",
        "worker-3 silent 31 s ago",
        "worker-4 stopped 2 s ago",
    ):
        assert words in shown


def test_the_forms_hold_the_present_values_and_the_epoch_that_the_operator_saw() -> None:
    page = render(a_fleet_status(a_canary(12.5, salt="autumn")))
    assert set(re.findall('name="expected_epoch" value="([^"]*)"', page)) == {"41"}
    assert 'name="canary_percentage" value="12.5"' in page
    assert 'name="salt" value="autumn"' in page
    assert '<option value="canary" selected>' in page


def test_before_the_first_state_the_forms_expect_none() -> None:
    assert set(re.findall('name="expected_epoch" value="([^"]*)"', render(a_status()))) == {"-1"}


def test_a_command_that_would_be_refused_is_marked_with_the_rules_own_words() -> None:
    page = render(a_fleet_status(a_state()))
    assert 'aria-disabled="true" title="promote: no canary version is on trial"' in page
    assert page.count("aria-disabled=") == 4
    assert (
        render(a_fleet_status(a_canary(previous_versions=("v0.2",)))).count("aria-disabled=") == 1
    )


def test_a_token_is_asked_for_only_where_one_is_needed_and_not_given_yet() -> None:
    needed = a_status(token_needed=True)
    assert 'id="token"' not in render(a_status())
    for role in (None, "read"):
        assert 'id="token" name="token" type="password"' in render(needed, role)
    assert 'id="token"' not in render(needed, "command")


def test_who_has_logged_in_can_log_out() -> None:
    assert "Log out" not in text_of(a_status(token_needed=True))
    assert "Log out" in render(a_status(token_needed=True), "command")


AB_TEST = a_canary(50.0, strategy="ab_test")


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        (an_experiment(), "What users like better all workers"),
        (an_experiment(), "A v0.3 1,000 400 40.00 % "),
        (an_experiment(), "Decided on conversion: more users are not needed."),
        (an_experiment(a_conclusion(600, 400)), "B (v0.4) is worse than A (v0.3): "),
        (an_experiment(a_conclusion(0, 0, users=0)), "No conclusion yet: no user of A (v0.3) and "),
        (an_experiment(a_conclusion(0, 0, users=0)), "A v0.3 0 0 no data yet 0 0 no data yet"),
        (an_experiment(a_conclusion(4, 6, users=9)), "it is compared from 200 users an arm on"),
        (an_experiment(looks=()), "The picture begins with two looks at data."),
        (an_experiment(trouble="no broker"), "This worker joins nothing at present: no broker"),
        (an_experiment(is_on=False), "Outcomes are not joined."),
        (an_experiment(open_windows=1_423), "1,423 are open on this worker"),
    ],
)
def test_an_experiment_shows_what_users_like_or_why_that_is_not_known(
    experiment: WatchedExperiment, words: str
) -> None:
    assert words in section(a_status(rollout=AB_TEST, experiment=experiment), "experiment")


def test_an_experiment_is_said_in_the_words_of_its_conclusion_and_drawn_twice() -> None:
    experiment = an_experiment()
    status = a_status(rollout=AB_TEST, experiment=experiment)
    assert experiment.conclusion is not None
    assert experiment.conclusion.words in section(status, "experiment")
    assert render(status).count('<path class="band good" d="M') == 2


def test_figures_that_fall_below_what_is_compared_hide_the_picture_of_earlier_looks() -> None:
    few = an_experiment()._replace(conclusion=a_conclusion(60, 70, users=150))
    status = a_status(rollout=AB_TEST, experiment=few)
    assert "it is compared from 200 users an arm on" in section(status, "experiment")
    assert render(status).count('<path class="band ') == 1  # conversion's


def test_a_state_that_compares_nothing_has_no_experiment() -> None:
    assert "What users like" not in text_of(a_status(rollout=a_state()))
