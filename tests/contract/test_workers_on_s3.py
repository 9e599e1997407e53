"""Real workers on a registry in S3: one download for all of a machine, and only what is signed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client import Client
from harness.fresh import fresh_settings, publish_model, random_arrays
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
            client.send({"request_id": one, "user_id": user} for user, one in enumerate(ids, 1))
            answers = [answer for several in client.wait_for(ids).values() for answer in several]
            assert {answer["model_version"] for answer in answers} <= set(versions)
            assert {answer["status"] for answer in answers} == {"ok"}
        unsigned = publish_model(settings, seed=2)
        refused = client.command(type="swap", model_version=unsigned)
    assert refused["status"] == "rejected"
    assert "is not signed" in refused["error"]["message"]
    cached = {path.name: path for path in (tmp_path / "cache").iterdir() if path.name != ".lock"}
    store = Store(settings.model_registry)
    files = {one.sha256 for version in versions for one in store.manifest(version).files.values()}
    assert set(cached) == files
    assert all(name == digest(path.read_bytes()) for name, path in cached.items())
