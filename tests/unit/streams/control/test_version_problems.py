"""Why a version that a command names cannot be served."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from registry.versions.store import Store
from streams.control.version_problems import problem_of
from tests.unit.streams.serving.test_residency import a_residency, published, run, settled


def test_a_version_that_could_be_served_has_no_problem(store: Store) -> None:
    async def story() -> None:
        with a_residency(store) as residency:
            assert await problem_of("v0.1", residency) is None
            assert residency.residency_of("v0.1") == "absent", "it was looked at, not loaded"

    run(story())


def test_a_version_that_is_in_memory_only_is_no_longer_brought_in_but_is_gone_back_to(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        store = published(tmp_path)
        with a_residency(store) as residency:
            residency.keep(["v0.1"], time.monotonic())
            assert await settled(residency, "v0.1") == "ready"
            assert await problem_of("v0.1", residency) is None

            store.hide("v0.1")
            why = await problem_of("v0.1", residency)
            assert why is not None
            assert why.startswith("is in memory only, so a new worker could not load it: ")
            assert await problem_of("v0.1", residency, from_memory=True) is None

    run(story())


def test_a_registry_that_does_not_answer_is_no_problem_of_what_is_in_memory(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        store = published(tmp_path / "models")
        with a_residency(store) as residency:
            residency.keep(["v0.1"], time.monotonic())
            assert await settled(residency, "v0.1") == "ready"
            (tmp_path / "models").rename(tmp_path / "elsewhere")
            (tmp_path / "models").symlink_to(tmp_path / "models")  # a loop: no answer but an error
            assert await problem_of("v0.1", residency) is None

    run(story())


@pytest.mark.parametrize(
    ("version", "problem"), [("v0.9", "which holds v0.1"), ("v0.1", "als/titles.json is missing")]
)
def test_the_problem_of_a_version_tells_why_it_cannot_be_served(
    version: str, problem: str, tmp_path: Path
) -> None:
    async def story() -> None:
        store = published(tmp_path)
        (store.root / "v0.1" / "als" / "titles.json").unlink()
        with a_residency(store) as residency:
            why = await problem_of(version, residency)
            assert why is not None
            assert problem in why

    run(story())
