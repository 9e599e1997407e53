"""Where commands come from: as written on the control topic, and as the trail tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from harness.client import Client
from harness.fresh import OPEN_GATE, environment_of
from harness.ramps import a_plan, start_ramp
from harness.waiting import wait_until
from harness.workers import Worker
from typer.testing import CliRunner

from ops.cli.main import app
from registry.kafka.topic_reader import ALL, messages, reading
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from tests.unit.training.builders import checkerboard_events


def recstream(settings: Settings, *words: str) -> dict[str, Any]:
    """Run the command line; return its JSON."""
    done = CliRunner().invoke(app, list(words), env=environment_of(settings))
    assert done.exit_code == 0, (done.output, done.exception)
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def commands_on(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the commands on the control topic as they are written, by id."""
    with reading(settings, topics_of(settings).control, last=ALL) as consumer:
        found = [
            json.loads(message.value() or b"") for message in messages(consumer, 20, to_end=True)
        ]
    return {command["command_id"]: command for command in found}


def test_the_topic_and_the_trail_say_where_each_command_comes_from(
    client: Client, topics_created: Settings, start_worker: Callable[..., Worker]
) -> None:
    for event in checkerboard_events():
        client._produce(client.topics.interactions, str(event.user_id).encode(), encode(event))
    client.flush()
    timed = {"retrain_interval": 3.0, "retrain_factors": 4, "retrain_iterations": 8}
    settings = topics_created.model_copy(
        update=OPEN_GATE | timed | {"retrain_min_new_interactions": 10, "model_version": "v0.1"}
    )
    recstream(settings, "train", "--json")
    worker = start_worker(settings).wait_ready()

    def announced() -> list[dict[str, Any]]:
        of_training = [result for result in client.trail if result["origin"] == "training"]
        assert all(result["status"] == "applied" for result in of_training), of_training
        return of_training

    wait_until(announced, 60, "the timer's run to offer its version")
    assert worker.get("/training")["origin"] == "timer"
    claimed = worker.fetch("/switch?model=v0.1&issued_by=ramp&command_id=claim", method="POST")
    assert (claimed.status, claimed.json()["code"]) == (422, "reserved_name")
    page = worker.fetch("/switch?model=v0.1&issued_by=ramper&command_id=by-http", method="POST")
    assert page.status == 200, page.text
    cli_id = recstream(settings, "swap", "v0.2", "--json")["command_id"]
    ramp_id = start_ramp(client, "v0.1", a_plan([50, 100], hold_seconds=60))
    wait_until(
        lambda: any(result["type"] == "step" for result in client.trail),
        30,
        "the ramp's first step",
    )

    expected = {"by-http": "operator", cli_id: "operator", ramp_id: "operator"}
    of_kind = {"seed": ("swap", "environment"), "ramp": ("step", "ramp")}
    written = commands_on(settings)
    trail = {result["command_id"]: result for result in client.trail}
    for command_id, origin in expected.items():
        assert written[command_id].get("origin", "operator") == origin, command_id
        assert trail[command_id]["origin"] == origin, command_id
    for origin, (kind, issuer) in of_kind.items():
        (found, *_) = [result for result in client.trail if result["origin"] == origin]
        assert (found["type"], found["issued_by"], found["status"]) == (kind, issuer, "applied")
        assert written[found["command_id"]]["origin"] == origin
    (offer, *_) = announced()
    assert offer["issued_by"] == f"retrain@{worker.name}"
    assert written[offer["command_id"]]["origin"] == "training"
    assert "claim" not in written
