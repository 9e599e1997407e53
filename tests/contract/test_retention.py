"""Garbage collection on a store: in two steps, so that a mistake can be undone."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry.versions.garbage import RetentionRules, collect
from registry.versions.store import Store
from tests.unit.registry.builders import a_description, some_arrays

RULES = RetentionRules(keep=1, grace=timedelta(days=1))


@pytest.fixture
def store(shared_url: str) -> Store:
    store = Store(shared_url)
    for _ in range(2):
        store.publish(some_arrays(), a_description())
    return store


def run(store: Store, days: int, *named: str, dry_run: bool = False) -> dict[str, str]:
    now = datetime.now(UTC) + timedelta(days=days)
    names = {version: ["eu"] for version in named}
    return {fate.version: fate.fate for fate in collect(store, names, RULES, now, dry_run=dry_run)}


def test_a_dry_run_only_says_what_would_be_done(store: Store) -> None:
    assert run(store, 2, dry_run=True) == {"v0.1": "hiding", "v0.2": "kept"}
    assert store.versions() == ["v0.1", "v0.2"]


def test_a_version_is_hidden_first_and_its_files_go_after_the_grace_period(store: Store) -> None:
    assert run(store, 2) == {"v0.1": "hiding", "v0.2": "kept"}
    assert store.versions() == ["v0.2"]
    assert run(store, 0) == {"v0.1": "hidden", "v0.2": "kept"}
    assert len(store.objects.found("v0.1")) == 9
    assert run(store, 2) == {"v0.1": "removed", "v0.2": "kept"}
    assert store.objects.found("v0.1") == []
    assert run(store, 4) == {"v0.2": "kept"}


def test_a_hidden_version_that_is_named_again_comes_back(store: Store) -> None:
    run(store, 2)
    assert run(store, 2, "v0.1") == {"v0.1": "restored", "v0.2": "kept"}
    assert store.verify("v0.1").version == "v0.1"


def test_what_is_named_and_cannot_come_back_is_left_alone_and_said(store: Store) -> None:
    run(store, 2)
    store.objects.delete("v0.1/als/shape.json")
    assert run(store, 2, "v0.1") == {"v0.1": "hidden", "v0.2": "kept"}
    assert len(store.objects.found("v0.1")) == 8


def test_a_version_that_another_run_hides_meanwhile_keeps_its_grace_period(tmp_path: Path) -> None:
    class Overtaken(Store):
        def folders(self) -> list[str]:
            seen = super().folders()
            plain.hide("v0.1")
            return seen

    plain = Store(str(tmp_path))
    for _ in range(2):
        plain.publish(some_arrays(), a_description())
    for file in (tmp_path / "v0.1").rglob("*"):
        os.utime(file, (0, 0))
    assert run(Overtaken(plain.url), 0) == {"v0.1": "hidden", "v0.2": "kept"}
    assert len(plain.objects.found("v0.1")) == 9


def test_what_a_killed_publisher_left_goes_after_the_grace_period(store: Store) -> None:
    store.objects.create("v0.3/als/shape.json", b"{}")
    assert run(store, 0)["v0.3"] == "hidden"
    assert run(store, 2)["v0.3"] == "removed"
    assert store.objects.found("v0.3") == []
