"""``recstream train --deploy`` offers what it has learned to a real worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.client import Client
from harness.fresh import OPEN_GATE, environment_of
from harness.ramps import a_plan, start_ramp
from harness.workers import Worker
from typer.testing import CliRunner

from ops.cli.main import app
from registry.settings import Settings
from registry.wire.codec import encode
from tests.unit.training.builders import checkerboard_events

ITEMS = """movieId,title,genres
1,One of the file,Drama|Crime
2,Two of the file,Drama
3,Three of the file,Comedy
"""


def trained(settings: Settings, deploy: str = "canary", code: int = 0) -> dict[str, Any]:
    """Train, and deploy; return the result of the command that offers the version."""
    announced: dict[str, Any] = printed(settings, deploy, code)["announced"]
    return announced


def printed(settings: Settings, deploy: str, code: int) -> dict[str, Any]:
    done = CliRunner().invoke(
        app, ["train", "--deploy", deploy, "--json"], env=environment_of(settings)
    )
    assert done.exit_code == code, (done.output, done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def require_not_announced(found: dict[str, Any], version: str, why: str) -> None:
    training = found["training"]
    assert found["announced"] is None
    assert (training["status"], training["version"]) == ("published", version)
    assert training["code"] == "not_announced"
    assert why in training["reason"]


def test_the_first_version_is_swapped_in_the_next_takes_its_share_and_a_ramp_needs_traffic(
    client: Client,
    topics_created: Settings,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
) -> None:
    options = {"retrain_factors": 4, "retrain_iterations": 8, "retrain_canary_percentage": 0.5}
    settings = topics_created.model_copy(update=OPEN_GATE | options)
    for event in checkerboard_events():
        client._produce(client.topics.interactions, str(event.user_id).encode(), encode(event))
    client.flush()
    items = tmp_path / "movies.csv"
    items.write_text(ITEMS)
    loaded = CliRunner().invoke(app, ["items", "load", str(items)], env=environment_of(settings))
    assert loaded.exit_code == 0, loaded.output
    worker = start_worker(settings)

    first = trained(settings)
    worker.wait_ready()
    second = trained(settings)

    assert (first["type"], first["status"]) == ("swap", "applied")
    assert (second["type"], second["status"]) == ("rollout", "applied")
    after = second["after"]
    assert (after["primary_version"], after["canary_version"]) == ("v0.1", "v0.2")
    assert (after["canary_percentage"], after["bucketing"]) == (0.5, "hash")

    policy = tmp_path / "ramp.yaml"
    policy.write_text("ramp: {steps: [10, 100], hold_seconds: 1}\nbucketing: hash\n")
    ramping = settings.model_copy(update={"retrain_ramp_file": str(policy)})
    waiting = printed(ramping, "ramp", code=1)
    require_not_announced(waiting, "v0.3", "production has a trial of its own")
    assert client.command(type="abort")["status"] == "applied"
    refused = trained(ramping, "ramp", code=1)
    assert (refused["type"], refused["error"]["code"]) == ("rollout", "no_traffic")
    assert "the heartbeats of the last seconds report no requests" in refused["error"]["message"]

    client.send([{"request_id": "labels", "user_id": 0, "k": 9, "allow": {"genre": ["Drama"]}}])
    (labelled,) = client.wait_for(["labels"])["labels"]
    assert labelled["status"] == "ok"
    titles = {item["item_id"]: item.get("title") for item in labelled["items"]}
    assert titles == {1: "One of the file", 2: "Two of the file"}

    start_ramp(client, "v0.2", a_plan([50], hold_seconds=600.0, patience_seconds=900.0))
    for number, deploy in enumerate(("swap", "canary"), 5):
        waiting = printed(settings, deploy, code=1)
        require_not_announced(waiting, f"v0.{number}", "a ramp is in progress")
