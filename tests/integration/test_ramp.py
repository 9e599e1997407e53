"""Ramps promote and roll back by themselves: real Kafka, real workers, injected faults."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.client import Answer, Client
from harness.faulty_worker import Fault, fails, faulty_arguments
from harness.fresh import environment_of, fresh_settings, publish_model
from harness.ramps import a_plan, applied, end_of, start_ramp, state_after, wait_for_step
from harness.traffic import Traffic
from harness.workers import Worker, control_owner
from typer.testing import CliRunner

from ops.cli.main import app
from registry.guardrails.verdicts import judge
from registry.kafka.audit_trail import read_trail
from registry.kafka.topic_admin import create_topics
from registry.ramp_plans.false_alarm import alpha_of
from registry.rollout.assignment import assign
from registry.settings import Settings
from registry.wire.counts import ArmCounts
from registry.wire.ramp_values import Ramp
from streams.control.fleet_agent import HEARTBEAT_SECONDS

Start = Callable[..., Worker]
USERS = range(1, 5_001)
PER_SECOND = 400
ROLL_BACK_SECONDS = 5.0
GOOD, FAILING, SLOW, UNRELATED = "v0.2", "v0.3", "v0.4", "v0.5"
FAULTS = {FAILING: Fault(failing=0.05), SLOW: Fault(times=3.0)}


@dataclass(frozen=True)
class Fleet:
    """Two workers under steady traffic, and a client."""

    settings: Settings
    client: Client
    workers: Sequence[Worker]
    traffic: Traffic

    def tails(self) -> str:
        return "\n".join(f"--- {worker}\n{worker.tail()}" for worker in self.workers)


@pytest.fixture(scope="module")
def lasting_fleet(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One fleet for the tests of this module that kill no worker: a start takes longest."""
    folder = tmp_path_factory.mktemp("ramps")
    settings = fresh_settings(kafka, folder)
    create_topics(settings)
    for seed in (0, 0, 0, 0, 1):  # the versions up to v0.4 have the same factors
        publish_model(settings, users=len(USERS), items=400, factors=32, seed=seed)
    workers: list[Worker] = []
    first = settings.model_copy(update={"model_version": "v0.1"})
    try:
        with Client(settings) as client:
            for name in ("w1", "w2"):
                workers.append(Worker(first, name, folder, faulty_arguments(FAULTS)))
            for worker in workers:
                worker.wait_ready()
            with Traffic(client, USERS, PER_SECOND) as traffic:
                yield Fleet(settings, client, workers, traffic)
    finally:
        for worker in workers:
            worker.end()


@pytest.fixture
def fleet(lasting_fleet: Fleet) -> Fleet:
    """The fleet with v0.1 for everyone and no ramp."""
    result = lasting_fleet.client.command(type="swap", model_version="v0.1")
    assert result["status"] == "applied", result
    if result["after"].get("canary_version"):
        lasting_fleet.client.command(type="abort")
    return lasting_fleet


def findings_by_guardrail(result: Answer) -> dict[str, Answer]:
    return {finding["guardrail"]: finding for finding in result["after"]["ramp"]["findings"]}


def assert_rolled_back(result: Answer, guardrail: str) -> None:
    """The ramp's own command says which guardrail failed, with its figures."""
    assert (result["type"], result["issued_by"]) == ("abort", "ramp"), result
    after = result["after"]
    assert after["ramp"]["outcome"] == "rolled_back"
    assert (after["strategy"], after["primary_version"]) == ("fixed", "v0.1")
    assert after["canary_version"] is None
    failed = [finding for finding in after["ramp"]["findings"] if finding["verdict"] == "fail"]
    assert [finding["guardrail"] for finding in failed] == [guardrail]
    assert failed[0]["message"] in result["reason"]
    assert failed[0]["figures"]


def by_time(client: Client, ids: Iterable[str]) -> list[tuple[float, Answer]]:
    """Return the first answer to each request with its time, in seconds since the epoch."""
    several = client.wait_for(ids)
    timed = [(client.answered_at[name][0], answers[0]) for name, answers in several.items()]
    return sorted(timed, key=lambda pair: pair[0])


def test_a_version_that_fails_for_one_user_in_twenty_is_rolled_back_within_five_seconds(
    fleet: Fleet, figure: Callable[[str], None]
) -> None:
    client, traffic = fleet.client, fleet.traffic
    plan = a_plan([20, 100], hold_seconds=60, guardrails={"error_rate": 0.01})
    sent_before = len(traffic.ids)
    ramp_id = start_ramp(client, FAILING, plan)
    result = end_of(client, ramp_id, 60)
    assert_rolled_back(result, "error_rate")
    traffic.wait_for_more(1)
    answers = by_time(client, traffic.ids[sent_before:])
    bad = [(at, answer) for at, answer in answers if answer["status"] == "error"]
    for _, answer in bad:
        assert fails(answer["user_id"], FAULTS[FAILING]), answer
        assert "injected" in answer["error"]["message"]
    figures = findings_by_guardrail(result)["error_rate"]["figures"]
    assert figures["log10_e_worse"] >= figures["log10_e_needed_to_fail"]
    command_at = datetime.fromisoformat(result["at"]).timestamp()
    evidence_at = time_of_evidence(client, answers, plan) or command_at
    last = bad[-1][0]
    figure(
        f"5 % of users fail: {last - bad[0][0]:.2f} s from the first bad answer to the last, of "
        f"{len(bad)}; the abort {command_at - evidence_at:.2f} s after the evidence, the last bad "
        f"answer {last - evidence_at:.2f} s after it"
    )
    assert bad[0][0] < evidence_at
    assert last - evidence_at <= ROLL_BACK_SECONDS
    assert {(answer["status"], answer["model_version"]) for _, answer in answers[-100:]} == {
        ("ok", "v0.1")
    }


def time_of_evidence(
    client: Client, answers: Iterable[tuple[float, Answer]], plan: dict[str, Any]
) -> float | None:
    """Return since when the answers sufficed: the guardrail's own rule, fed with each as it came.

    Counted per epoch, as the workers do; an error names no variant, so the rule assigns again.
    Evidence that further answers took back before each worker had sent a heartbeat could not be
    seen: what counts is when it first stood that long, or what there was when it was acted upon.
    None if the heartbeats, which are not all of the same moment, had it first.
    """
    ramp = msgspec.convert(plan, Ramp)
    states = {command["epoch"]: state_after(command) for command in applied(client)}
    since = first = None
    requests: Counter[tuple[int, str]] = Counter()
    errors: Counter[tuple[int, str]] = Counter()
    for at, answer in answers:
        state = states.get(answer["provenance"]["rollout_epoch"])
        if state is None or state.strategy != "canary" or state.canary_percentage == 0:
            continue
        variant = assign(answer["user_id"], state).variant
        requests[state.epoch, variant] += 1
        errors[state.epoch, variant] += answer["status"] == "error"
        if variant == "primary":
            continue
        canary, primary = (
            ArmCounts(
                name, "", requests=requests[state.epoch, name], errors=errors[state.epoch, name]
            )
            for name in ("canary", "primary")
        )
        found = judge(
            ramp.guardrails,
            canary,
            primary,
            percentage=state.canary_percentage,
            alpha=alpha_of(ramp),
            min_requests=ramp.min_requests,
            compare_users=False,
        )
        if not any(
            finding.guardrail == "error_rate" and finding.verdict == "fail" for finding in found
        ):
            since = None
        elif since is None:
            first, since = first or at, at
        elif at - since >= HEARTBEAT_SECONDS:
            return since
    return since or first


def test_a_version_that_is_three_times_slower_is_rolled_back(
    fleet: Fleet, figure: Callable[[str], None]
) -> None:
    client, traffic = fleet.client, fleet.traffic
    sent_before = len(traffic.ids)
    plan = a_plan([20, 100], hold_seconds=60, guardrails={"latency_ratio": 1.5})
    ramp_id = start_ramp(client, SLOW, plan)
    result = end_of(client, ramp_id, 60)
    assert_rolled_back(result, "latency_ratio")
    traffic.wait_for_more(1)
    answers = by_time(client, traffic.ids[sent_before:])
    slow = [at for at, answer in answers if answer["model_version"] == SLOW]
    figure(
        f"3x slower: {slow[-1] - slow[0]:.2f} s from the first slow answer to the last; "
        f"{findings_by_guardrail(result)['latency_ratio']['message']}"
    )
    assert {answer["status"] for _, answer in answers} == {"ok"}
    assert {answer["model_version"] for _, answer in answers[-100:]} == {"v0.1"}


def test_a_version_as_fast_is_not_called_slower_whichever_arm_is_the_larger(fleet: Fleet) -> None:
    """The negative control: the same guardrail, also where most of a batch is the canary's."""
    client = fleet.client
    plan = a_plan([20, 90, 100], hold_seconds=2, guardrails={"latency_ratio": 1.5})
    result = end_of(client, start_ramp(client, GOOD, plan), 60)
    assert result["after"]["ramp"]["outcome"] == "promoted", result["reason"]


def test_a_ramp_begins_in_shadow_and_goes_on_with_a_version_that_says_the_same(
    fleet: Fleet,
) -> None:
    client = fleet.client
    plan = a_plan([50], shadow={"hold_seconds": 1, "min_overlap": 0.8})
    ramp_id = start_ramp(client, GOOD, plan)
    shadowed = epochs_of(client, ramp_id)
    result = end_of(client, ramp_id, 60)
    assert result["after"]["ramp"]["outcome"] == "promoted", result
    assert result["after"]["primary_version"] == GOOD
    strategies = [(result["type"], result["after"]["strategy"]) for result in shadowed()]
    assert strategies == [
        ("rollout", "canary"),  # at 0 %: every worker loads it
        ("step", "shadow"),
        ("step", "canary"),
        ("promote", "fixed"),
    ]
    seen = {finding["guardrail"]: finding for finding in shadowed()[2]["after"]["ramp"]["findings"]}
    assert seen["min_overlap"]["verdict"] == "pass"
    assert seen["min_overlap"]["figures"]["overlap"] == 1.0


def test_a_plan_that_is_stretched_for_the_traffic_gets_its_evidence_and_is_promoted(
    fleet: Fleet, tmp_path: Path
) -> None:
    plan = a_plan([10], guardrails={"error_rate": 0.05})
    del plan["patience_seconds"]  # which would count; by default it is left for chance
    file = tmp_path / "ramp.json"
    given = {"canary_version": GOOD, "bucketing": "hash", "ramp": plan}
    file.write_bytes(msgspec.json.encode(given))

    def apply_file(*options: str) -> tuple[int, Answer]:
        words = ["rollout", "apply", str(file), *options, "--json"]
        ended = CliRunner().invoke(app, words, env=environment_of(fleet.settings))
        return ended.exit_code, json.loads(ended.stdout)

    fleet.traffic.wait_for_more(1)
    code, refused = apply_file()
    assert (code, refused["error"]["code"]) == (1, "too_little_traffic")
    code, started = apply_file("--fit")
    assert (code, started["status"]) == (0, "applied")
    ramp = started["after"]["ramp"]
    assert (ramp["asked"]["hold_seconds"], ramp["fit"]) == (1.0, True)
    assert ramp["plan"]["hold_seconds"] >= 2
    result = end_of(fleet.client, ramp["ramp_id"], 90)
    assert result["after"]["ramp"]["outcome"] == "promoted", result
    assert result["after"]["primary_version"] == GOOD


def test_a_ramp_that_begins_in_shadow_ends_there_with_a_version_that_says_something_else(
    fleet: Fleet,
) -> None:
    client, traffic = fleet.client, fleet.traffic
    sent_before = len(traffic.ids)
    plan = a_plan([50], shadow={"hold_seconds": 60, "min_overlap": 0.8})
    result = end_of(client, start_ramp(client, UNRELATED, plan), 60)
    assert_rolled_back(result, "min_overlap")
    answers = by_time(client, traffic.ids[sent_before:])
    assert {answer["model_version"] for _, answer in answers} == {"v0.1"}


def epochs_of(client: Client, ramp_id: str) -> Callable[[], list[Answer]]:
    """Return a function that lists the commands that moved the ramp so far."""

    def commands() -> list[Answer]:
        return [
            command
            for command in applied(client)
            if (command.get("after", {}).get("ramp") or {}).get("ramp_id") == ramp_id
        ]

    return commands


def test_a_paused_ramp_holds_until_it_is_resumed(fleet: Fleet) -> None:
    client, traffic = fleet.client, fleet.traffic
    ramp_id = start_ramp(client, GOOD, a_plan([10, 50]))
    wait_for_step(client, ramp_id, 10, 30)
    paused = client.command(type="pause")
    assert paused["status"] == "applied", paused
    traffic.wait_for_more(4)  # four times its hold, and twice what every guardrail needs to pass
    commands = epochs_of(client, ramp_id)
    assert commands()[-1]["command_id"] == paused["command_id"]
    assert client.command(type="resume")["status"] == "applied"
    assert end_of(client, ramp_id, 30)["after"]["ramp"]["outcome"] == "promoted"
    assert [(command["type"], command["issued_by"]) for command in commands()] == [
        ("rollout", "test"),
        ("step", "ramp"),
        ("pause", "test"),
        ("resume", "test"),
        ("step", "ramp"),
        ("promote", "ramp"),
    ]


def test_an_operators_command_ends_a_ramp_at_any_time(fleet: Fleet) -> None:
    client, traffic = fleet.client, fleet.traffic
    ramp_id = start_ramp(client, GOOD, a_plan([10, 50], hold_seconds=2))
    wait_for_step(client, ramp_id, 10, 30)
    result = client.command(type="rollout", strategy="canary", canary_percentage=33)
    assert result["status"] == "applied", result
    assert result["after"]["ramp"]["outcome"] == "cancelled"
    assert result["after"]["canary_percentage"] == 33
    traffic.wait_for_more(4)
    assert applied(client)[-1]["command_id"] == result["command_id"]  # the ramp has no more to say
    traffic.wait_for_more(1)
    variants = [answer["variant"] for _, answer in by_time(client, traffic.ids[-PER_SECOND:])]
    assert 0.25 < variants.count("canary") / len(variants) < 0.41


def test_a_ramp_over_a_good_version_finishes_while_its_owner_is_killed_twice(
    client: Client, topics_created: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    settings = topics_created
    for _ in range(2):
        publish_model(settings, users=len(USERS), items=400, factors=32)
    workers = [
        start_worker(settings.model_copy(update={"model_version": "v0.1"})) for _ in range(3)
    ]
    for worker in workers:
        worker.wait_ready()
    with Traffic(client, USERS, PER_SECOND) as traffic:
        traffic.wait_for_more(1)
        started_at = time.monotonic()
        ramp_id = start_ramp(client, GOOD, a_plan([1, 10, 50, 100]))
        for percentage in (1, 50):
            wait_for_step(client, ramp_id, percentage, 60)
            control_owner(workers).kill()
            workers.append(start_worker(settings))
        result = end_of(client, ramp_id, 90)
        seconds = time.monotonic() - started_at
        assert result["after"]["ramp"]["outcome"] == "promoted", result
        traffic.wait_for_more(1)
        answers = traffic.answers()
    figure(f"a ramp of 4 steps whose owner was killed twice took {seconds:.1f} s")
    assert {answer["status"] for answer in answers} == {"ok"}
    assert {answer["model_version"] for answer in answers} == {"v0.1", GOOD}
    trail = read_trail(settings, environment=settings.environment)
    moves = [result for result in reversed(trail) if result.issued_by == "ramp"]
    assert [move.type for move in moves] == ["step"] * 4 + ["promote"]
    assert {move.status for move in moves} == {"applied"}
    shares = [move.after.canary_percentage for move in moves if move.after is not None]
    assert shares == [1, 10, 50, 100, 0]
    epochs = [move.epoch for move in moves if move.epoch is not None]
    assert epochs == sorted(set(epochs))
    assert len(epochs) == 5
    assert_each_answer_is_what_its_epoch_says(client, answers)


def assert_each_answer_is_what_its_epoch_says(client: Client, answers: Sequence[Answer]) -> None:
    states = {command["epoch"]: state_after(command) for command in applied(client)}
    for answer in answers:
        epoch = answer["provenance"]["rollout_epoch"]
        if epoch in states:
            version = assign(answer["user_id"], states[epoch]).version
            assert answer["model_version"] == version or answer["fallback_reason"], answer
