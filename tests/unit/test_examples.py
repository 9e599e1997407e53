"""The examples in the docstrings of all packages run, however deep a package lies.

Not by pytest's ``--doctest-modules``: it would import each test file a second time.
"""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

from harness.cells import each_cell

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("registry", "streams", "training", "ops")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@each_cell("name", MODULES)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    runner = doctest.DocTestRunner()
    for docstring in doctest.DocTestFinder().find(importlib.import_module(name)):
        if docstring.examples:  # `doctest.testmod` takes as long for each of those without any
            runner.run(docstring)
    assert runner.failures == 0
    assert runner.tries > 0


def test_examples_are_found_at_every_depth() -> None:
    deep = {"registry.ids", "registry.rollout.current_phase", "streams.serving.routing"}
    assert deep <= set(MODULES)
    assert len(MODULES) >= 40
