"""The examples in the docstrings of this package run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import streams

MODULES = [module.name for module in pkgutil.iter_modules(streams.__path__, "streams.")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_some_module_has_examples() -> None:
    module = importlib.import_module("streams.routing")
    assert doctest.testmod(module).attempted > 0
