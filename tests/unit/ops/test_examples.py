"""The examples in the docstrings of the command line's modules run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    *(
        "ops.bench.rig.slopes",
        "ops.bench.rig.soak_plan",
        "ops.cli.inspect_commands",
        "ops.ingest.interaction_files",
        "ops.cli.ramp_arithmetic",
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    ran = doctest.testmod(importlib.import_module(name))
    assert ran.failed == 0
    assert ran.attempted > 0
