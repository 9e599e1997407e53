"""Real workers on a registry in S3: one download for all of a machine, and only what is signed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client import Client
from harness.disks import small_disk
from harness.fresh import fresh_settings, publish_model, random_arrays
from harness.waiting import wait_until
from harness.workers import Worker
from pydantic import SecretStr

from registry.kafka.topic_admin import create_topics
from registry.settings import Settings
from registry.versions.manifest import digest
from registry.versions.store import Store, store_of
from tests.unit.registry.builders import a_description, a_key_pair

PAIR = a_key_pair()


@pytest.fixture
def settings(kafka: str, s3: str, tmp_path: Path) -> Settings:
    return fresh_settings(
        kafka,
        tmp_path,
        MODEL_REGISTRY=f"{s3}/{uuid.uuid4().hex}/models",
        RECSTREAM_MODEL_CACHE=str(tmp_path / "cache"),
        RECSTREAM_SIGNING_PUBLIC_KEYS=PAIR.public,
    )


def publish(settings: Settings, seed: int) -> str:
    signing = settings.model_copy(update={"signing_private_key": SecretStr(PAIR.private)})
    return store_of(signing).publish(random_arrays(50, 40, 8, seed), a_description()).version


def test_two_workers_serve_from_one_cache_and_refuse_what_is_not_signed(
    settings: Settings, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    create_topics(settings)
    versions = [publish(settings, seed) for seed in (0, 1)]
    with Client(settings) as client:
        for worker in [start_worker(settings) for _ in range(2)]:
            worker.wait_ready()
        for version in reversed(versions):
            assert client.command(type="swap", model_version=version)["status"] == "applied"
            ids = [f"{version}-{user}" for user in range(20)]
            client.send(
                {"request_id": request_id, "user_id": user}
                for user, request_id in enumerate(ids, 1)
            )
            answers = [answer for several in client.wait_for(ids).values() for answer in several]
            assert {answer["model_version"] for answer in answers} <= set(versions)
            assert {answer["status"] for answer in answers} == {"ok"}
        unsigned = publish_model(settings, seed=2)
        refused = client.command(type="swap", model_version=unsigned)
    assert refused["status"] == "rejected"
    assert "is not signed" in refused["error"]["message"]
    cached = {path.name: path for path in (tmp_path / "cache").iterdir() if path.name != ".lock"}
    store = Store(settings.model_registry)
    files = {file.sha256 for version in versions for file in store.manifest(version).files.values()}
    assert set(cached) == files
    assert all(name == digest(path.read_bytes()) for name, path in cached.items())


def test_a_cache_without_room_keeps_what_is_served_and_takes_the_version_when_it_has_room(
    settings: Settings, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    create_topics(settings)
    publish(settings, 0)
    with small_disk(tmp_path / "cache", "256k") as disk, Client(settings) as client:
        worker = start_worker(settings).wait_ready()
        signing = settings.model_copy(update={"signing_private_key": SecretStr(PAIR.private)})
        large = random_arrays(5_000, 40, 16, 1)  # 320 kB of factors
        version = store_of(signing).publish(large, a_description()).version

        refused = client.command(type="swap", model_version=version)
        assert (refused["status"], refused["error"]["code"]) == ("rejected", "unusable_version")
        assert "No space left on device" in refused["error"]["message"]
        assert "RECSTREAM_MODEL_CACHE" in refused["error"]["message"]
        assert answered_by(client, "full") == "v0.1"
        assert not (disk.folder / ".part").exists()

        disk.remount("size=8m")
        assert client.command(type="swap", model_version=version)["status"] == "applied"
        wait_until(lambda: answered_by(client, "room") == version, 15, "the large version")
        assert worker.process.poll() is None


def answered_by(client: Client, name: str) -> str:
    request_id = f"{name}-{len(client.answers)}"
    client.send([{"request_id": request_id, "user_id": 1}])
    return str(client.wait_for([request_id])[request_id][0]["model_version"])
