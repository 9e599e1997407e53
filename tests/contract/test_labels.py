"""Labels point to versions and move; pins keep one; both are outside of the manifest."""

from __future__ import annotations

import uuid

import pytest

from registry.errors import ArtifactError, ConfigurationError, DamagedVersion, UnknownVersion
from registry.versions.store import Store
from registry.versions.version_labels import Labels, Mark
from tests.unit.registry.builders import a_description, some_arrays


@pytest.fixture
def store(shared_url: str) -> Store:
    store = Store(shared_url)
    for _ in range(2):
        store.publish(some_arrays(), a_description())
    return store


@pytest.fixture
def labels(store: Store) -> Labels:
    return Labels(store)


def a_mark(version: str) -> Mark:
    return Mark(version, "anna", "2026-01-01T00:00:00+00:00", "good")


def test_at_first_there_is_none(labels: Labels) -> None:
    assert (labels.labels(), labels.pins(), labels.label("stable")) == ({}, {}, None)


def test_a_label_moves_and_says_where_it_was(labels: Labels, store: Store) -> None:
    manifests = [store.manifest(version) for version in store.versions()]
    assert labels.promote("stable", a_mark("v0.1")) is None
    assert labels.promote("stable", a_mark("v0.2")) == a_mark("v0.1")
    assert labels.labels() == {"stable": a_mark("v0.2")}
    assert [store.manifest(version) for version in store.versions()] == manifests


def test_a_version_a_label_and_latest_can_be_asked_for(labels: Labels) -> None:
    labels.promote("stable", a_mark("v0.1"))
    assert [labels.resolve(name) for name in ("stable", "latest", "v0.9")] == [
        "v0.1",
        "v0.2",
        "v0.9",
    ]
    with pytest.raises(ArtifactError, match="known: latest, stable"):
        labels.resolve("unstable")


def test_latest_of_an_empty_registry_is_refused() -> None:
    with pytest.raises(ArtifactError, match="no version yet"):
        Labels(Store(f"memory://{uuid.uuid4().hex}")).resolve("latest")


def test_neither_points_to_a_version_that_is_not_there(labels: Labels) -> None:
    for call in (
        lambda: labels.promote("stable", a_mark("v0.9")),
        lambda: labels.pin(a_mark("v0.9")),
    ):
        with pytest.raises(UnknownVersion):
            call()
    assert (labels.labels(), labels.pins()) == ({}, {})


@pytest.mark.parametrize("name", ["latest", "v0.1", "Stable", "", "../x", "a/b", "a" * 64, "1st"])
def test_a_label_that_could_be_mistaken_is_refused(labels: Labels, name: str) -> None:
    with pytest.raises(ConfigurationError, match="label"):
        labels.promote(name, a_mark("v0.1"))


def test_of_two_who_move_a_label_at_once_one_is_refused(
    labels: Labels, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels.promote("stable", a_mark("v0.1"))
    exchange = store.objects.exchange

    def overtaken(path: str, before: bytes | None, after: bytes) -> bool:
        store.objects.replace(path, b"moved")
        return exchange(path, before, after)

    monkeypatch.setattr(store.objects, "exchange", overtaken)
    with pytest.raises(ArtifactError, match="somebody else"):
        labels.promote("stable", a_mark("v0.2"))


def test_pins_come_and_go(labels: Labels) -> None:
    labels.pin(a_mark("v0.1"))
    labels.pin(a_mark("v0.1"))
    assert labels.pins() == {"v0.1": a_mark("v0.1")}
    labels.unpin("v0.1")
    assert labels.pins() == {}
    with pytest.raises(ArtifactError, match="which hold none"):
        labels.unpin("v0.1")


def test_a_label_is_removed_once(labels: Labels) -> None:
    labels.promote("stable", a_mark("v0.1"))
    labels.remove("stable")
    assert labels.labels() == {}
    with pytest.raises(ArtifactError, match="stable: not in labels"):
        labels.remove("stable")


@pytest.mark.parametrize("held", [b"", b"{}", b"v0.1", b'{"version": "../x", "by": "", "at": ""}'])
def test_a_label_that_was_damaged_is_an_error_not_a_guess(
    labels: Labels, store: Store, held: bytes
) -> None:
    store.objects.replace("labels/stable.json", held)
    with pytest.raises(DamagedVersion, match=r"labels/stable\.json"):
        labels.resolve("stable")
