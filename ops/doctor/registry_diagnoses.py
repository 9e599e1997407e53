"""What the doctor asks the registry: whether it can be read and written, and versions load."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import KafkaException

from ops.clients import kafka_client
from ops.doctor.diagnosis import Diagnosis
from registry.errors import ArtifactError, TransportError
from registry.settings import Settings
from registry.versions.store import store_of


def readable(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether the registry can be listed, and its newest manifest read."""
    store = store_of(settings)
    versions = store.versions()
    if not versions:
        yield Diagnosis(
            "registry readable",
            "warning",
            f"{store.url} holds no version",
            "recstream train; or is MODEL_REGISTRY another one than the workers'?",
        )
        return
    newest = store.manifest(versions[-1])
    detail = f"{len(versions)} versions in {store.url}, the newest {newest.version}"
    yield Diagnosis("registry readable", "ok", detail)


def writable(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether a training could publish: writes an object, and removes it."""
    store = store_of(settings)
    store.require_publishable()
    yield Diagnosis("registry writable", "ok", f"{store.url} takes objects and exchanges them")


def models(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether the versions that are deployed, or would be, can be loaded."""
    store = store_of(settings)
    try:
        state = kafka_client.rollout_state(settings)
    except (TransportError, KafkaException):
        state = None  # said elsewhere
    if state is not None:
        versions = [state.primary_version, state.canary_version]
    else:
        versions = [store.latest()]
    wanted = [version for version in versions if version is not None]
    for version in wanted:
        try:
            model = store.open(version)
        except ArtifactError as error:
            yield Diagnosis(
                "models", "failed", str(error), "restore its files, or deploy another version"
            )
        else:
            users, items = len(model.arrays.user_ids), len(model.arrays.item_ids)
            yield Diagnosis("models", "ok", f"{version} loads: {users} users, {items} items")
    if not wanted:
        yield Diagnosis("models", "skipped", "no version is deployed, and none is published")
