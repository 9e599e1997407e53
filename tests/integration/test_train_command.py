"""``recstream train --deploy`` offers what it has learned to a real worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from harness.client import Client
from harness.fresh import environment_of
from harness.workers import Worker
from typer.testing import CliRunner

from ops.cli.main import app
from registry.settings import Settings
from registry.wire.codec import encode
from tests.unit.training.builders import checkerboard_events


def trained(settings: Settings) -> dict[str, Any]:
    """Train, offering a canary; return the result of the command that offers it."""
    done = CliRunner().invoke(
        app, ["train", "--deploy", "canary", "--json"], env=environment_of(settings)
    )
    assert done.exit_code == 0, (done.output, done.exception)
    announced: dict[str, Any] = json.loads(done.stdout)["announced"]
    return announced


def test_the_first_version_is_swapped_in_and_the_next_one_takes_its_share(
    client: Client, topics_created: Settings, start_worker: Callable[..., Worker]
) -> None:
    told = {"retrain_factors": 4, "retrain_iterations": 8, "retrain_canary_percentage": 0.5}
    settings = topics_created.model_copy(update=told)
    for event in checkerboard_events():
        client._produce(client.topics.interactions, str(event.user_id).encode(), encode(event))
    client.flush()
    worker = start_worker(settings)

    first = trained(settings)
    worker.wait_ready()
    second = trained(settings)

    assert (first["type"], first["status"]) == ("swap", "applied")
    assert (second["type"], second["status"]) == ("rollout", "applied")
    after = second["after"]
    assert (after["primary_version"], after["canary_version"]) == ("v0.1", "v0.2")
    assert (after["canary_percentage"], after["bucketing"]) == (0.5, "hash")
