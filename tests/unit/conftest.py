"""What all unit tests share: they are to take seconds, all 2,200 of them.

Half as many examples of each property as elsewhere. The garbage collector leaves what was imported
and collected alone, and rests as a worker's does: else a tenth of the time would go there. pyarrow
imports pandas where there is one, for a fifth of what all imports take; workers have none.
"""

from __future__ import annotations

import gc
import importlib.abc
import sys
from typing import Any

import hypothesis

hypothesis.settings.register_profile(
    "unit", hypothesis.settings.get_profile("here"), max_examples=20
)
hypothesis.settings.load_profile("unit")


class _WithoutPandas(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("the unit tests do without pandas, as workers do", name=name)


sys.meta_path.insert(0, _WithoutPandas())
gc.disable()
gc.set_threshold(50_000, 20, 100)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
