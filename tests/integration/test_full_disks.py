"""A registry that is read-only, or has no room, under a real worker and real trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client
from harness.disks import Disk, small_disk
from harness.doctor_findings import doctor_findings
from harness.fresh import OPEN_GATE, publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.settings import Settings
from registry.versions.store import Store
from registry.wire.codec import encode
from registry.wire.requests import Request
from tests.unit.training.builders import checkerboard_events

ONCE_A_YEAR = "0 0 1 1 *"
ROOM_BYTES = 16 * 1024
"""Enough for the check before a training, too little for a version: each file takes 4 KiB."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", "1m") as mounted:
        yield mounted


def result_of(worker: Worker, client: Client) -> dict[str, Any]:
    """Start a training on command; return its result."""
    started = client.command(type="retrain")
    assert started["status"] == "applied", started

    def result() -> Any:
        run = worker.get("/training")
        return run and run["run_id"] == started["command_id"] and run.get("result")

    return dict(wait_until(result, 60, "the training to end"))


def test_a_registry_that_is_read_only_fails_a_training_at_once_and_a_full_one_at_its_end(
    client: Client, topics_created: Settings, start_worker: Callable[..., Worker], disk: Disk
) -> None:
    settings = topics_created.model_copy(
        update=OPEN_GATE
        | {
            "model_registry": str(disk.folder / "models"),
            "retrain_cron": ONCE_A_YEAR,
            "retrain_factors": 4,
            "retrain_iterations": 8,
        }
    )
    store = Store(settings.model_registry)
    publish_model(settings)
    for event in checkerboard_events():
        client._produce(client.topics.interactions, str(event.user_id).encode(), encode(event))
    client.flush()
    files = files_of(disk)
    disk.remount("ro")
    worker = start_worker(settings).wait_ready()

    def notices() -> dict[str, str]:
        return {notice["code"]: notice["message"] for notice in worker.get("/readyz")["notices"]}

    def answered(name: str) -> tuple[str, str]:
        client.send([Request(name, 1)])
        (answer,) = client.wait_for([name])[name]
        return answer["status"], answer["model_version"]

    wait_until(lambda: "registry_not_writable" in notices(), 10, "the notice")
    assert "Read-only file system" in notices()["registry_not_writable"]
    found = doctor_findings(settings)
    assert "Read-only file system" in found["registry writable"]
    assert "registry_not_writable" in found["workers"]
    read_only = result_of(worker, client)
    assert (read_only["status"], read_only["code"]) == ("failed", "artifact"), read_only
    assert "Read-only file system" in read_only["reason"]
    assert set(read_only["stage_seconds"]) <= {"lock"}

    assert answered("read-only") == ("ok", "v0.1")

    disk.remount("rw")
    filler = disk.fill(ROOM_BYTES)
    full = result_of(worker, client)
    assert (full["status"], full["code"]) == ("failed", "artifact"), full
    assert "No space left on device" in full["reason"]
    assert "fit" in full["stage_seconds"]
    assert answered("full") == ("ok", "v0.1")
    assert f"free at {disk.folder}" in doctor_findings(settings)["disk"]
    filler.unlink()
    assert store.versions() == ["v0.1"]
    assert files_of(disk) == files
    assert answered("with room again") == ("ok", "v0.1")

    mended = result_of(worker, client)
    assert mended["status"] == "published", mended
    wait_until(
        lambda: worker.get("/rollout/status")["state"]["primary_version"] == mended["version"],
        15,
        "the new version to be swapped in",
    )


def files_of(disk: Disk) -> set[str]:
    """Return the files of versions; claims of their numbers stay, and so does what was read."""
    models = disk.folder / "models"
    found = {path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith(("claims/", "snapshots/"))}
