"""``implicit``'s kernel for the best items of many users, without the rest of ``implicit``.

The package imports all of its algorithms, and SciPy's linear algebra with them: a third of a second
of every worker's start, for one compiled function. So it is imported as if its packages were empty;
who imports ``implicit`` afterwards gets all of it.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


def _import_alone() -> Any:
    """Return ``implicit.cpu.topk.topk``."""
    spec = None if "implicit" in sys.modules else find_spec("implicit")
    if spec is not None and spec.submodule_search_locations:
        folder = Path(spec.submodule_search_locations[0])
        for name, path in (("implicit", folder), ("implicit.cpu", folder / "cpu")):
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__path__ = [str(path)]
    try:
        from implicit.cpu.topk import topk
    finally:
        if spec is not None:
            del sys.modules["implicit"], sys.modules["implicit.cpu"]
    return topk


topk = _import_alone()
