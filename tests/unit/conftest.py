"""What all unit tests share: they are to take seconds, all of them.

A third as many examples of each property as elsewhere, and with ``--long`` many more. Nobody waits
for the disk, and no authority of this machine is read. The garbage collector leaves what was
imported and collected alone, and rests as a worker's does: else a tenth of the time would go there.
pyarrow imports pandas where there is one, for a fifth of what all imports take; workers have none.
"""

from __future__ import annotations

import gc
import importlib.abc
import os
import sys
from typing import Any

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers

hypothesis.settings.register_profile(
    "unit", hypothesis.settings.get_profile("here"), max_examples=12
)
hypothesis.settings.register_profile(
    "long", hypothesis.settings.get_profile("here"), max_examples=200
)
hypothesis.settings.load_profile("unit")


# Hypothesis would parse all our modules for constants to try: a tenth of what collecting takes.
providers._get_local_constants = lambda: providers._local_constants
os.environ["OMP_WAIT_POLICY"] = "passive"  # else threads of a fit spin while others work
os.fsync = lambda _: None  # tests/contract has what a power failure leaves
os.environ["SSL_CERT_FILE"] = os.devnull  # aiohttp reads it when it is imported


class _WithoutPandas(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("the unit tests do without pandas, as workers do", name=name)


sys.meta_path.insert(0, _WithoutPandas())
gc.disable()
gc.set_threshold(50_000, 20, 100)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        hypothesis.settings.load_profile("long")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.user_properties.append(("cells", getattr(getattr(item, "obj", None), "cells", 1)))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many cells the tests had: a table of them is one test."""
    passed = terminalreporter.stats.get("passed", [])
    cells = sum(dict(report.user_properties).get("cells", 1) for report in passed)
    if passed:
        terminalreporter.line(f"{cells} cells in {len(passed)} tests passed")
