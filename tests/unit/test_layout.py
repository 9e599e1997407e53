"""The layout of PRODUCT.md §1 and STYLE.md, the locks and `.env.example` are as they should be.

That imports point down only is `make check`'s, which CI runs first.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

from harness.cells import each_cell
from packaging.requirements import Requirement
from packaging.version import Version

from ops.docs.env_example import env_example
from registry.settings import Settings, read_settings

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = {
    *("streams", "training", "registry", "ops", "tests", "docs"),
    *("docker-compose.yml", "pyproject.toml", "README.md"),
    *("Makefile", "LICENSE", "CHANGELOG.md", "requirements.lock"),
}
REGISTRIES = (
    *("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "crates" + ".io"),
    *("repo.maven" + ".apache", "repo1" + ".maven", "deb.debian" + ".org"),
    *("proxy.golang" + ".org", "registry" + ".yarnpkg"),
)
LOCKED = re.compile(r"^([a-zA-Z0-9._-]+)==(\S+)", re.MULTILINE)


@cache
def _files() -> list[str]:
    """All files that git tracks or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked(lock: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in LOCKED.findall((ROOT / lock).read_text()):
        found.setdefault(_normal(name), set()).add(version)
    return found


def test_the_top_level_is_the_fixed_one() -> None:
    top = {name.split("/")[0] for name in _files()}

    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_tests_are_no_package_that_could_shadow_a_real_one() -> None:
    assert [name for name in _files() if re.fullmatch(r"tests/(.*/)?__init__\.py", name)] == []


def _modules() -> list[Path]:
    tops = ("registry", "streams", "training", "ops")
    return [Path(name) for name in _files() if name.endswith(".py") and name.startswith(tops)]


def test_no_two_modules_have_the_same_name() -> None:
    names = Counter(path.name for path in _modules() if not path.name.startswith("__"))

    assert [name for name, times in names.items() if times > 1] == []


def test_a_package_holds_at_most_sixteen_modules_and_says_what_lives_there() -> None:
    rooms = Counter(path.parent for path in _modules() if not path.name.startswith("__"))

    assert {str(room): many for room, many in rooms.items() if many > 16} == {}
    for room in rooms:
        docstring = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
        assert docstring is not None, room
        assert len(docstring.splitlines()) >= 3, f"{room}: what lives there, and what may not?"


LONG = 300
"""Lines of a module; more need a reason, which its docstring gives in a line "Long because …"."""


def _is_long_without_a_reason(path: Path) -> bool:
    text = (ROOT / path).read_text()
    if len(text.splitlines()) <= LONG:
        return False
    reasons = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    return not any(line.startswith("Long because ") for line in reasons)


def test_a_module_over_three_hundred_lines_gives_its_reason() -> None:
    assert [str(path) for path in _modules() if _is_long_without_a_reason(path)] == []


def test_the_map_names_every_package() -> None:
    architecture = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    rooms = {path.parent for path in _modules()} - {Path("ops/bench/rig"), Path("ops/bench/sides")}

    assert [str(room) for room in rooms if f"`{room}/`" not in architecture] == []


def test_no_file_names_a_package_registry() -> None:
    hosts = [word for host in REGISTRIES for word in ("-e", host)]
    found = subprocess.run(
        ["git", "grep", "--untracked", "--text", "--fixed-strings", "--only-matching", *hosts],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (found.stdout, found.stderr, found.returncode) == ("", "", 1)  # 1: nothing was found


def test_the_lock_holds_what_the_project_and_each_of_its_extras_ask_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        asked += extra
    locked = _locked("requirements.lock")

    for requirement in map(Requirement, asked):
        versions = locked.get(_normal(requirement.name), set())
        assert versions, f"requirements.lock lacks {requirement}: `make lock`"
        assert all(requirement.specifier.contains(Version(version)) for version in versions), (
            requirement
        )


@each_cell(("lock", "least"), [("requirements.lock", 100), ("ops/setup/uv.txt", 1)])
def test_every_locked_version_has_a_hash(lock: str, least: int) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=[a-zA-Z0-9])", text)[0 if lock.endswith(".lock") else 1 :]

    assert len(entries) >= least
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_example_environment_is_made_from_the_settings() -> None:
    seen = (ROOT / ".env.example").read_text()

    assert seen == env_example(), "python -m ops.docs.env_example > .env.example"


def test_the_settings_example_loaded_as_its_head_says_changes_nothing() -> None:
    script = "set -a; . ./.env.example; set +a; env -0"
    assert "set -a; . ./.env; set +a" in env_example()
    loaded = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, env={}, capture_output=True, text=True, check=True
    )
    variables = dict(part.split("=", 1) for part in loaded.stdout.split("\0") if part)
    assert read_settings(variables) == read_settings({})


def test_the_example_environment_holds_the_defaults() -> None:
    lines = env_example().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert read_settings(variables) == Settings()


def test_ci_runs_the_command_of_the_makefile() -> None:
    assert "\nmake test ||" in (ROOT / ".ci" / "run").read_text()
