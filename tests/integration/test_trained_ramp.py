"""``RETRAIN_DEPLOY=ramp``: from a training to all users, or back, without an operator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from harness.client import Answer, Client
from harness.faulty_worker import Fault, faulty_arguments
from harness.fresh import OPEN_GATE, fresh_settings
from harness.ramps import a_plan, applied, end_of
from harness.traffic import Traffic
from harness.waiting import wait_until
from harness.workers import Worker, control_owner

from registry.kafka.topic_admin import create_topics
from registry.settings import Settings
from registry.wire.codec import encode
from tests.unit.training.builders import checkerboard_events

Start = Callable[..., Worker]
PLAN = a_plan([50], guardrails={"error_rate": 0.1, "latency_ratio": None, "sample_ratio": False})
"""The checkerboard's users are too few to tell how they are split."""

GOOD, FAILING = "v0.2", "v0.3"


@pytest.fixture
def ramped(topics_created: Settings, tmp_path: Path) -> Settings:
    """Settings of a fleet that ramps what it trains."""
    policy = tmp_path / "ramp.json"
    policy.write_bytes(msgspec.json.encode({"ramp": PLAN, "bucketing": "hash"}))
    return topics_created.model_copy(
        update=OPEN_GATE | {"retrain_deploy": "ramp", "retrain_ramp_file": str(policy)}
    )


def retrained(client: Client, reason: str, iterations: int) -> str:
    """Return the id of a run that has just begun."""
    result = client.command(60, type="retrain", reason=reason, iterations=iterations)
    assert result["status"] == "applied", result
    return str(result["command_id"])


def offered(client: Client, run_id: str) -> Answer:
    """Return the command with which the fleet has offered the version of a run."""

    def offer() -> Answer | None:
        mine = (command for command in applied(client) if run_id in (command.get("reason") or ""))
        return next(mine, None)

    return wait_until(offer, 60, f"the version of run {run_id} to be offered")


def test_what_is_trained_ramps_up_by_itself_and_back_where_users_fail(
    client: Client, ramped: Settings, start_worker: Start
) -> None:
    worker = start_worker(ramped, arguments=faulty_arguments({FAILING: Fault(failing=0.5)}))
    events = checkerboard_events()
    for event in events:
        client._produce(client.topics.interactions, str(event.user_id).encode(), encode(event))
    client.flush()
    first = offered(client, retrained(client, "the first", 4))
    assert (first["type"], first["after"]["primary_version"]) == ("swap", "v0.1")
    worker.wait_ready()
    users = sorted({int(event.user_id) for event in events})
    with Traffic(client, users, 200) as traffic:
        traffic.wait_for_more(1)
        for reason, version, outcome in (
            ("new films", GOOD, "promoted"),
            ("other films", FAILING, "rolled_back"),
        ):
            run_id = retrained(client, reason, 5)
            started = offered(client, run_id)
            ramp = started["after"]["ramp"]
            assert (started["type"], started["origin"]) == ("rollout", "training")
            assert started["issued_by"] == f"retrain@{worker.name}"
            assert started["after"]["canary_version"] == version
            assert ramp["cause"] == {"run_id": run_id, "issued_by": "test", "reason": reason}
            end = end_of(client, ramp["ramp_id"], 60)
            assert end["after"]["ramp"]["outcome"] == outcome, end
            assert end["after"]["primary_version"] == GOOD
            moves = [
                command
                for command in applied(client)
                if command["issued_by"] == "ramp" and command["after"]["ramp"]["version"] == version
            ]
            why = f"; training run {run_id}, asked for by test: {reason}"
            assert [move["reason"][-len(why) :] for move in moves] == [why] * len(moves)
            assert moves[-1]["type"] == ("promote" if outcome == "promoted" else "abort")
    assert "error_rate" in end["reason"]


def test_what_the_timer_trains_is_promoted_by_its_ramp_though_the_owner_is_killed(
    client: Client, ramped: Settings, start_worker: Start
) -> None:
    policy = Path(str(ramped.retrain_ramp_file))
    plan = PLAN | {"hold_seconds": 5.0}
    policy.write_bytes(msgspec.json.encode({"ramp": plan, "bucketing": "hash"}))
    given = {"retrain_interval": 3.0, "retrain_iterations": 3, "retrain_min_new_interactions": 10}
    timed, events = ramped.model_copy(update=given), checkerboard_events()

    def ingest(again: float) -> None:
        for event in events:
            later = msgspec.structs.replace(event, timestamp=(event.timestamp or 0.0) + again)
            client._produce(client.topics.interactions, str(event.user_id).encode(), encode(later))
        client.flush()

    def deployed_as(kind: str) -> Answer:
        def offer() -> Answer | None:
            results = (result for result in applied(client) if result["origin"] == "training")
            return next((result for result in results if result["type"] == kind), None)

        return wait_until(offer, 90, f"a {kind} by the timer")

    ingest(0)
    workers = [start_worker(timed) for _ in range(2)]
    assert deployed_as("swap")["after"]["primary_version"] == "v0.1"
    for worker in workers:
        worker.wait_ready()
    with Traffic(client, sorted({int(event.user_id) for event in events}), 200) as traffic:
        traffic.wait_for_more(1)
        ingest(100)
        started = deployed_as("rollout")
        ramp = started["after"]["ramp"]
        assert ramp["cause"]["issued_by"].startswith("timer@")
        control_owner(workers).kill()
        end = end_of(client, ramp["ramp_id"], 120)
        assert end["after"]["ramp"]["outcome"] == "promoted", end
        assert end["after"]["primary_version"] == GOOD
        assert f"; training run {ramp['cause']['run_id']}" in end["reason"]


@pytest.fixture
def staging(kafka: str, tmp_path: Path) -> Settings:
    """Settings of staging, whose trainings ramp there first and then in production."""
    policy = tmp_path / "ramp.json"
    ramp = PLAN | {"soak_seconds": 1}
    policy.write_bytes(
        msgspec.json.encode(
            {"ramp": ramp, "bucketing": "hash", "environments": ["staging", "live"]}
        )
    )
    shared = fresh_settings(kafka, tmp_path)
    found = of_environment(shared, "staging").model_copy(
        update=OPEN_GATE | {"retrain_deploy": "ramp", "retrain_ramp_file": str(policy)}
    )
    create_topics(found)
    return found


def of_environment(shared: Settings, name: str) -> Settings:
    own = {
        "environment": name,
        "control_prefix": shared.topic_prefix,
        "topic_prefix": f"{shared.topic_prefix}-{name}",
    }
    return shared.model_copy(update=own)


def test_what_is_trained_in_one_environment_goes_on_to_the_next_by_itself(
    staging: Settings, kafka: str, tmp_path: Path, start_worker: Start
) -> None:
    shared = staging.model_copy(update={"topic_prefix": staging.control_prefix})
    live = of_environment(shared, "live").model_copy(
        update={"retrain_deploy": "none", "retrain_ramp_file": None}
    )
    create_topics(live)
    workers = [start_worker(staging, "staging"), start_worker(live, "live")]
    events = checkerboard_events()
    users = sorted({int(event.user_id) for event in events})
    with Client(staging) as client, Client(live) as live_client:
        for event in events:
            client._produce(client.topics.interactions, str(event.user_id).encode(), encode(event))
        client.flush()
        offered(client, retrained(client, "the first", 4))
        live_client.command(type="swap", model_version="v0.1")
        for worker in workers:
            worker.wait_ready()
        with Traffic(client, users, 100) as traffic, Traffic(live_client, users, 100):
            traffic.wait_for_more(1)
            run_id = retrained(client, "new films", 5)
            ramp = offered(client, run_id)["after"]["ramp"]
            for name in ("staging", "live"):
                end = end_of(client, ramp["ramp_id"], 60, name)
                assert end["after"]["ramp"]["outcome"] == "promoted", end
                assert end["after"]["ramp"]["cause"]["run_id"] == run_id
                assert end["after"]["primary_version"] == GOOD
