"""Two small published versions, shared by the tests of this folder; nobody changes them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from jinja2 import FileSystemBytecodeCache

from registry.versions.model import Model
from registry.versions.store import Store
from streams.page import render
from tests.unit.registry.builders import a_description, some_arrays


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A registry with v0.1 and v0.2: users 1..5, items film-0..film-6, other factors."""
    store = Store(str(tmp_path_factory.mktemp("model_registry")))
    for seed in (1, 2):
        store.publish(some_arrays(seed=seed), a_description(git_sha=f"sha-{seed}"))
    return store


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once(pytestconfig: pytest.Config) -> None:
    """Compiling the page's templates takes a quarter of a second, in every process."""
    if cache := getattr(pytestconfig, "cache", None):
        folder = str(cache.mkdir("templates"))
        render._page.environment.bytecode_cache = FileSystemBytecodeCache(folder)


@pytest.fixture(scope="session")
def models(store: Store) -> Mapping[str, Model]:
    """Both versions, as a worker has them in memory."""
    return {version: store.open(version) for version in store.versions()}
