"""``recstream registry``: what people see, in a registry of a folder and in one of S3."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli.registry_commands import app
from registry.errors import ArtifactError, ConfigurationError
from registry.versions.manifest import ColdStart, Parameters, TrainingProvenance
from registry.versions.store import Store
from tests.unit.registry.builders import a_description, some_arrays


@pytest.fixture
def store(shared_url: str) -> Store:
    store = Store(shared_url)
    made = TrainingProvenance(
        "host-1", "3.12.1", libraries={"numpy": "2.4"}, dirty=True, start=ColdStart("too few")
    )
    store.publish(
        some_arrays(), a_description(provenance=made, intervals={"ndcg_at_10": (0.05, 0.15)})
    )
    store.publish(some_arrays(), a_description(parameters=Parameters(8, 15, 0.05, 1.0, 42)))
    return store


def text(store: Store, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--registry", store.url], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def document(store: Store, *arguments: str) -> Any:
    return json.loads(text(store, *arguments, "--json"))


def test_labels_and_pins_are_set_listed_shown_used_and_taken_back(store: Store) -> None:
    assert document(store, "promote-label", "stable", "v0.1")["before"] is None
    moved = document(store, "promote-label", "stable", "latest", "--reason", "good")
    assert (moved["before"]["version"], moved["after"]["version"]) == ("v0.1", "v0.2")
    assert document(store, "pin", "v0.1", "--reason", "audit")["reason"] == "audit"
    listing = document(store, "list")
    assert [version["version"] for version in listing["versions"]] == ["v0.1", "v0.2"]
    assert listing["latest"] == "v0.2"
    assert listing["labels"]["stable"]["reason"] == "good"
    assert list(listing["pins"]) == ["v0.1"]
    shown = text(store, "list")
    assert "latest, stable" in shown
    assert "pinned" in shown
    assert document(store, "show", "stable")["version"] == "v0.2"
    text(store, "unpin", "v0.1")
    text(store, "promote-label", "stable", "--remove")
    assert document(store, "list").keys() == {"latest", "versions"}
    with pytest.raises(ConfigurationError, match="either a VERSION"):
        text(store, "promote-label", "stable")


def test_a_version_is_shown_with_its_provenance(store: Store) -> None:
    shown = text(store, "show", "v0.1")
    for words in ("host-1, Python 3.12.1", "numpy 2.4", "changed since its commit", "0.05 to 0.15"):
        assert words in shown
    assert "at random: too few" in shown


def test_two_versions_are_compared_field_by_field(store: Store) -> None:
    found = {
        row["field"]: (row["left"], row["right"])
        for row in document(store, "diff", "v0.1", "latest")
    }
    assert found["parameters.factors"] == ("3", "8")
    assert found["provenance.host"] == ("host-1", None)
    assert not any(field.startswith(("files", "version", "created")) for field in found)
    assert "+5" in text(store, "diff", "v0.1", "v0.2")
    assert "differ only in their names" in text(store, "diff", "v0.2", "v0.2")


def test_a_version_that_cannot_be_read_is_listed_with_the_reason(store: Store) -> None:
    store.objects.replace("v0.1/meta.json", b"{}")
    listing = document(store, "list")
    assert [version["version"] for version in listing["versions"]] == ["v0.2"]
    assert "schema_version" in listing["problems"]["v0.1"]
    assert "schema_version" in text(store, "list")


def test_gc_says_what_it_would_do_and_needs_no_kafka_if_told_what_is_in_use(store: Store) -> None:
    store.publish(some_arrays(), a_description())
    text(store, "pin", "v0.1")
    arguments = ("gc", "--keep", "1", "--grace-hours", "0", "--versions-in-use", "v0.2")
    done = document(store, *arguments)
    assert [
        (version["version"], version["fate"], version["why"]) for version in done["versions"]
    ] == [
        ("v0.1", "kept", done["versions"][0]["why"]),
        ("v0.2", "kept", "--versions-in-use"),
        ("v0.3", "kept", "latest"),
    ]
    assert done["versions"][0]["why"].startswith("pinned by ")
    text(store, "unpin", "v0.1")
    assert "nothing was changed" in text(store, *arguments)
    assert "1 to hide" in text(store, *arguments, "--remove")
    assert store.versions() == ["v0.2", "v0.3"]


def test_what_gc_is_told_to_keep_may_be_a_label_and_must_be_something(store: Store) -> None:
    store.publish(some_arrays(), a_description())
    text(store, "promote-label", "stable", "v0.1")
    arguments = ("gc", "--keep", "1", "--grace-hours", "0", "--versions-in-use")
    assert document(store, *arguments, "stable, v0.2")["versions"][0]["why"] == (
        "--versions-in-use, label stable"
    )
    with pytest.raises(ArtifactError, match=r"'v02': neither a version like v0\.3 nor a label"):
        text(store, *arguments, "v0.1,v02", "--remove")
    assert store.versions() == ["v0.1", "v0.2", "v0.3"]


@pytest.mark.parametrize("arguments", [("show", "nope"), ("unpin", "v0.1"), ("pin", "v0.9")])
def test_what_is_not_there_is_an_artifact_error(store: Store, arguments: tuple[str, ...]) -> None:
    with pytest.raises(ArtifactError):
        text(store, *arguments)
