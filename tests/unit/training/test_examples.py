"""The examples in the docstrings of this package run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import training

MODULES = [
    module.name
    for module in pkgutil.iter_modules(training.__path__, "training.")
    if module.name != "training.__main__"
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
