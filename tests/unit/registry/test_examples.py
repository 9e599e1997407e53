"""The examples in the docstrings of this package run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import registry

FOLDER = Path(str(registry.__file__)).parent
MODULES = [
    f"registry.{path.stem}" for path in sorted(FOLDER.glob("*.py")) if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    ran = doctest.testmod(importlib.import_module(name))
    assert ran.failed == 0
    assert ran.attempted > 0


def test_some_module_has_examples() -> None:
    assert "registry.rollout.transitions" in MODULES
