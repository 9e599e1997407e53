"""The documentation says what the code says: pages, links, names, commands, endpoints and codes."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from ops import codes, reference
from registry import errors
from registry.settings import Settings, read_settings
from registry.topics import topics_of
from streams import answering, routing
from streams.http import Pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
NOT_YET = {"docs/limits.md": {"GET /trace/{request_id}"}}
"""What a page names because it is not there."""

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(
    r"`((?:registry|training|streams|ops|tests|docs)/[\w./-]*|\.ci/run)(?:::([\w:]+))?`"
)
SETTING = re.compile(r"\b((?:KAFKA|MODEL|ROLLOUT|CANARY|RETRAIN|RECSTREAM)_[A-Z_]+)\b(\*?)(?!\.md)")
METRIC = re.compile(r"[a-z]+_[a-z_]*(?:_total|_seconds|_info|_lag|_epoch|_resident|_in_flight)")
ENDPOINT = re.compile(r"\b(GET|POST) (/[\w/{}]*)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def prose_of(page: Path) -> str:
    return FENCE.sub("", text_of(page))


def rows_of(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables in `text`, without heads."""
    for table in re.findall(r"(?:^ *\|.*\n)+", text, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def section(page: str, title: str) -> str:
    found = re.search(
        rf"^#+ {re.escape(title)}$(.*?)(?=^## |\Z)", text_of(ROOT / page), re.M | re.S
    )
    assert found, f"{page} has no section {title!r}"
    return found[1]


def commands_shown(page: Path) -> Iterator[str]:
    """Yield every call of `recstream` in shell blocks and in inline code."""
    for language, block in FENCE.findall(text_of(page)):
        lines = block.splitlines() if language in ("sh", "console") else []
        yield from (line.removeprefix("$ ") for line in map(str.strip, lines))
    yield from INLINE.findall(prose_of(page))


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    return dict(reference.commands())


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return reference.pages()


@pytest.mark.parametrize("name", [*reference.PAGES, "asyncapi.json"])
def test_a_reference_page_is_what_the_code_makes(name: str, made: dict[str, str]) -> None:
    path = reference.FOLDER / name

    assert path.is_file(), "run `make docs`"
    assert text_of(path) == made[name], "run `make docs`"


def test_every_reference_page_is_made_from_the_code(made: dict[str, str]) -> None:
    assert {path.name for path in reference.FOLDER.iterdir()} == set(made)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose_of(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of `page`."""
    titles = re.findall(r"^#+ (.*)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = [target.partition("#")[0] for target in LINK.findall(prose_of(page))]
        waiting += [(page.parent / one).resolve() for one in targets if one and "://" not in one]

    assert {page for page in PAGES if page.name != "CHANGELOG.md"} <= reached


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_and_test_that_a_page_names_exists(page: Path) -> None:
    for path, test in NAMED_FILE.findall(text_of(page)):
        assert (ROOT / path).exists(), path
        for name in filter(None, test.split("::")):
            assert re.search(rf"\b(def|class) {name}\b", text_of(ROOT / path)), f"{path}::{name}"


def test_every_guarantee_of_the_readme_names_its_test() -> None:
    rows = list(rows_of(section("README.md", "What it guarantees")))

    assert len(rows) >= 10
    assert [row for row in rows if not re.fullmatch(r"`tests/\w+/.*\.py::\S+`", row[1])] == []


def test_every_rollout_rule_names_its_file_and_its_test() -> None:
    page = "docs/explanation/architecture.md"
    rules = {
        rule: (file, test)
        for rule, file, test in rows_of(section(page, "Where each rollout rule lives"))
        if file != "not in this release"
    }

    assert len(rules) >= 20
    for rule, (file, test) in rules.items():
        assert re.fullmatch(r"`(registry|streams)/\w+\.py`", file), rule
        assert re.fullmatch(r"`tests/\S+\.py::\S+`", test), rule


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_shows_exists(page: Path, commands: dict[str, Any]) -> None:
    for line in commands_shown(page):
        if line.split()[:1] != ["recstream"]:
            continue
        name, rest = "", shlex.split(line)[1:]
        while rest and f"{name} {rest[0]}".strip() in commands:
            name = f"{name} {rest.pop(0)}".strip()
        command = commands[name]
        is_group = hasattr(command, "commands") or name == "bench"
        assert not (is_group and rest and not rest[0].startswith("-")), line
        known = {"--help", *(word for one in command.params for word in one.opts)}
        known |= {word for one in command.params for word in one.secondary_opts}
        assert {word for word in rest if word.startswith("-")} <= known, line


def test_a_rollout_is_watched_in_five_commands() -> None:
    ((_, block),) = FENCE.findall(section("README.md", "Watch a rollout in five commands"))

    assert [line.split()[0] for line in block.splitlines()] == ["recstream"] * 5


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_target_of_make_that_a_page_names_exists(page: Path) -> None:
    makefile = text_of(ROOT / "Makefile")
    shown = [*INLINE.findall(prose_of(page)), *(block for _, block in FENCE.findall(text_of(page)))]

    for target in re.findall(r"^make (\w+)", "\n".join(shown), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


@cache
def routes() -> set[str]:
    """Return the routes of a worker's pages; making them asks nothing of the worker."""
    app = Pages(cast(Any, None), cast(Any, None)).application()
    found = {
        f"{one.method} {one.resource.canonical}" for one in app.router.routes() if one.resource
    }
    return {route for route in found if not route.startswith("HEAD ")}


def test_the_api_reference_lists_the_endpoints_that_there_are() -> None:
    listed = [cell for cell, *_ in rows_of(text_of(DOCS / "API_REFERENCE.md"))]

    assert {" ".join(one) for one in ENDPOINT.findall("\n".join(listed))} == routes()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_endpoint_that_a_page_names_exists(page: Path) -> None:
    named = {" ".join(one) for one in ENDPOINT.findall(" ; ".join(INLINE.findall(prose_of(page))))}

    assert named <= routes() | NOT_YET.get(name_of(page), set())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = {str(field.alias) for field in Settings.model_fields.values()}

    for name, wildcard in SETTING.findall(text_of(page)):
        assert name in known or (wildcard and any(one.startswith(name) for one in known)), name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_metric_that_a_page_names_exists(page: Path) -> None:
    known = {cell.strip("`") for cell, *_ in rows_of(text_of(reference.FOLDER / "metrics.md"))}

    assert {one for one in INLINE.findall(prose_of(page)) if METRIC.fullmatch(one)} <= known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_topic_that_a_page_names_exists(page: Path) -> None:
    known = {topic.name for topic in topics_of(read_settings({}))}

    assert set(re.findall(r"`(reco\.[\w-]+)`", text_of(page))) <= known


def test_there_is_an_answer_to_every_code() -> None:
    page = DOCS / "how-to" / "when-something-is-wrong.md"
    answered = {code for cell, *_ in rows_of(text_of(page)) for code in INLINE.findall(cell)}
    answered |= set(re.findall(r"^`(\w+)` is `recstream", text_of(page), re.MULTILINE))
    named = {one.name for one in codes.codes()} | own_codes(errors.RecstreamError)
    named |= {routing.NOT_READY, routing.LEASE_LAPSED, answering.UNKNOWN_USER}
    patterns = {re.sub(r"\{\w+\}", r"\\w+", name) for name in named}

    assert {one for one in answered if not any(re.fullmatch(p, one) for p in patterns)} == set()
    assert {p for p in patterns if not any(re.fullmatch(p, one) for one in answered)} == set()


def own_codes(error: type[errors.RecstreamError]) -> set[str]:
    below = [own_codes(one) for one in error.__subclasses__()]
    return {error.code}.union(*below)


def test_the_changelog_begins_with_the_version_to_come() -> None:
    version = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["version"]

    assert version in section("CHANGELOG.md", "[Unreleased]")
