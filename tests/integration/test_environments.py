"""A ramp over environments: staging, eu and us on one cluster, each with topics of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness.client import Answer, Client
from harness.faulty_worker import Fault, faulty_arguments
from harness.fresh import fresh_settings, publish_model
from harness.ramps import a_plan, applied, end_of, start_ramp
from harness.traffic import Traffic
from harness.workers import Worker

from registry.kafka.topic_admin import create_topics
from registry.settings import Settings

Start = Callable[..., Worker]
ENVIRONMENTS = ("staging", "eu", "us")
USERS = range(1, 1_001)
PER_SECOND = 100
PLAN = a_plan([50], soak_seconds=1, guardrails={"error_rate": 0.1, "latency_ratio": None})
GOOD, FAILING_IN_EU = "v0.2", "v0.3"


@pytest.fixture
def settings_by_environment(kafka: str, tmp_path: Path) -> Mapping[str, Settings]:
    """Three environments that share the control topics and the registry, and nothing else."""
    shared = fresh_settings(kafka, tmp_path)
    for _ in range(3):
        publish_model(shared, users=len(USERS))
    found = {}
    for name in ENVIRONMENTS:
        own = {
            "environment": name,
            "control_prefix": shared.topic_prefix,
            "topic_prefix": f"{shared.topic_prefix}-{name}",
            "model_version": "v0.1",
        }
        found[name] = shared.model_copy(update=own)
        create_topics(found[name])
    return found


@pytest.fixture
def traffic(
    settings_by_environment: Mapping[str, Settings], start_worker: Start
) -> Iterator[Mapping[str, Traffic]]:
    """Traffic in each environment, of one worker each; only that of eu is faulty."""
    with ExitStack() as ends:
        clients = {
            name: ends.enter_context(Client(own_settings))
            for name, own_settings in settings_by_environment.items()
        }
        faults = faulty_arguments({FAILING_IN_EU: Fault(failing=0.5)})
        workers = [
            start_worker(own_settings, name, **({"arguments": faults} if name == "eu" else {}))
            for name, own_settings in settings_by_environment.items()
        ]
        for worker in workers:
            worker.wait_ready()
        yield {
            name: ends.enter_context(Traffic(client, USERS, PER_SECOND))
            for name, client in clients.items()
        }


def commands(client: Client, ramp_id: str, environment: str) -> list[Answer]:
    return [
        command
        for command in applied(client, environment)
        if (command["after"].get("ramp") or {}).get("ramp_id") == ramp_id
    ]


def test_a_ramp_goes_through_environments_by_itself_and_a_failure_stops_the_rest(
    traffic: Mapping[str, Traffic],
) -> None:
    client = traffic["staging"].client
    ramp_id = start_ramp(client, GOOD, PLAN, environments=list(ENVIRONMENTS))
    for name in ENVIRONMENTS:
        result = end_of(client, ramp_id, 40, name)
        assert result["after"]["ramp"]["outcome"] == "promoted", result
        assert result["after"]["primary_version"] == GOOD
        moves = [
            (command["type"], command["issued_by"]) for command in commands(client, ramp_id, name)
        ]
        assert moves == [
            ("rollout", "test" if name == "staging" else "ramp"),
            ("step", "ramp"),
            ("promote", "ramp"),
            ("step", "ramp"),  # the soak is over
        ]
    for earlier, later in (("staging", "eu"), ("eu", "us")):
        promoted, handed_over = (
            commands(client, ramp_id, earlier)[2],
            commands(client, ramp_id, later)[0],
        )
        assert handed_over["command_id"] == f"{ramp_id}@{later}"
        assert handed_over["epoch"] > promoted["epoch"]
        assert handed_over["reason"] == f"promoted and soaked in {earlier}"

    ramp_id = start_ramp(client, FAILING_IN_EU, PLAN, environments=list(ENVIRONMENTS))
    assert end_of(client, ramp_id, 40, "staging")["after"]["primary_version"] == FAILING_IN_EU
    failed = end_of(client, ramp_id, 40, "eu")
    assert (failed["type"], failed["issued_by"], failed["environment"]) == ("abort", "ramp", "eu")
    assert failed["after"]["ramp"]["outcome"] == "rolled_back"
    assert failed["after"]["primary_version"] == GOOD
    assert "error_rate" in failed["reason"]
    traffic["us"].wait_for_more(3)  # longer than hold and soak together
    assert commands(client, ramp_id, "us") == []
    versions = {
        name: {answer["model_version"] for answer in own.answers() if answer["status"] == "ok"}
        for name, own in traffic.items()
    }
    assert versions["staging"] == {"v0.1", GOOD, FAILING_IN_EU}
    assert versions["us"] == {"v0.1", GOOD}
