"""The documentation says what the code says: pages, links, names, commands, endpoints and codes."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cache
from importlib.metadata import version as distribution
from pathlib import Path
from typing import Any, TypeVar, get_args

import pytest
import yaml
from harness.builders import some_parts
from harness.cells import each_cell

from ops.docs import cli_page
from ops.docs import reference_pages as reference
from ops.docs import rule_drawings as drawings
from ops.ingest.send_once import NOTE_RECORDS
from registry import errors
from registry.asking.answer_deadline import DEADLINE_SECONDS
from registry.asking.blocking_client import MAX_IN_FLIGHT
from registry.asking.librdkafka_clients import CONFIRMATION_SECONDS
from registry.error_codes import AnswerCode, FallbackCode
from registry.guardrails.distinct_users import USERS_COUNTED
from registry.guardrails.live_workers import LIVE_SECONDS
from registry.kafka.topics import LARGE_RECORD_BYTES, topics_of
from registry.ramp_plans.ramp_durations import LOADING_SECONDS, PATIENCE_HOLDS, ROLL_BACK_SECONDS
from registry.rollout.command_log import COMMANDS_REMEMBERED
from registry.rollout.command_transitions import PREVIOUS_VERSIONS_KEPT, ROWS
from registry.scoring.model_arrays import MAX_ITEMS
from registry.settings import Settings, read_settings
from registry.wire.field_types import ID_CHARACTERS
from registry.wire.ramp_values import StageKind
from registry.wire.requests import MAX_K, MOST_CANDIDATES, MOST_LIKED, MOST_SESSION_ITEMS
from registry.wire.responses import AnswerStatus, Source
from registry.wire.training_records.label_limits import MOST_LABELS
from streams.control.fleet_agent import HEARTBEAT_SECONDS
from streams.delivery.header_passthrough import MOST_BYTES, MOST_HEADERS
from streams.http import openapi
from streams.http.admission.request_limits import MOST_WAITING
from streams.http.command_endpoints import RESULT_SECONDS
from streams.http.endpoint_arguments import WAIT_MS
from streams.observers import build_observers
from streams.page_serving import build_pages
from streams.retraining.takeover import SILENT_SECONDS
from streams.serving.probing import LEAST_PAUSE_SECONDS
from streams.serving.residency import RETRY_SECONDS
from streams.state.liveness import REBALANCE_SECONDS
from streams.timers import TICK_SECONDS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(
    r"`((?:registry|training|streams|ops|tests|docs)/[\w./-]*|\.ci/run)(?:::([\w:]+))?`"
)
SETTING = re.compile(
    r"\b((?:KAFKA|MODEL|ROLLOUT|CANARY|RETRAIN|TRAIN|RECSTREAM)_[A-Z_]+)\b(\*?)(?!\.md)"
)
METRIC = re.compile(r"[a-z]+_[a-z_]*(?:_total|_seconds|_info|_lag|_epoch|_resident|_in_flight)")
ENDPOINT = re.compile(r"\b(GET|POST) (/[\w/{}-]*(?:\.json)?)")
BARE_PATH = re.compile(r"/[a-z][\w/{}-]*(?:\.json)?")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def text_of(page: Path) -> str:
    return page.read_text("utf-8")


@cache
def prose_of(page: Path) -> str:
    return FENCE.sub("", text_of(page))


def rows_of(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables in `text`, without heads."""
    for table in re.findall(r"(?:^ *\|.*\n)+", text, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def unknown(named: Callable[[Path], list[str]], known: set[str]) -> list[str]:
    """Return what is `named` by a page and is not `known`, with the page."""
    return [
        f"{name_of(page)}: {name}" for page in PAGES for name in named(page) if name not in known
    ]


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
        shown = (line.removeprefix("$ ") for line in map(str.strip, lines))
        yield from (call.strip() for line in shown for call in line.split("&&"))
    yield from INLINE.findall(prose_of(page))


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    return dict(cli_page.commands())


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return reference.pages()


@each_cell("name", [*reference.PAGES, "asyncapi.json"])
def test_a_reference_page_is_what_the_code_makes(name: str, made: dict[str, str]) -> None:
    path = reference.FOLDER / name

    assert path.is_file(), "run `make docs`"
    assert text_of(path) == made[name], "run `make docs`"


def test_every_reference_page_is_made_from_the_code(made: dict[str, str]) -> None:
    assert {path.name for path in reference.FOLDER.iterdir()} == set(made)


@each_cell("page", drawings.DRAWN, ids=name_of)
def test_what_a_page_shows_of_the_rules_is_drawn_from_the_code(page: Path) -> None:
    assert drawings.drawn(text_of(page)) == text_of(page), "run `python -m ops.docs.rule_drawings`"


def test_every_drawing_is_on_a_page() -> None:
    marks = {mark for page in drawings.DRAWN for mark in drawings.MARK.findall(text_of(page))}

    assert {name for _, name, _ in marks} == set(drawings.PARTS)


def test_every_stage_and_every_phase_is_in_the_drawings() -> None:
    assert all(f"`{kind}`" in drawings.sentences() for kind in get_args(StageKind))
    assert all(phase in drawings.diagram() for phase in ROWS)


@each_cell("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose_of(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


@cache
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
        waiting += [
            (page.parent / target).resolve() for target in targets if target and "://" not in target
        ]

    assert {page for page in PAGES if page.name != "CHANGELOG.md"} <= reached


@each_cell("page", PAGES, ids=name_of)
def test_every_file_and_test_that_a_page_names_exists(page: Path) -> None:
    for path, test in NAMED_FILE.findall(text_of(page)):
        assert (ROOT / path).exists(), path
        for name in filter(None, test.split("::")):
            assert name in names_in(ROOT / path), f"{path}::{name}"


@cache
def names_in(path: Path) -> set[str]:
    """Return the names of the functions and classes of a module."""
    return set(re.findall(r"\b(?:def|class) (\w+)", text_of(path)))


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
        assert re.fullmatch(r"`(registry|streams)/(\w+/)*\w+\.py`", file), rule
        assert re.fullmatch(r"`tests/\S+\.py::\S+`", test), rule


@each_cell("page", PAGES, ids=name_of)
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
        known = {"--help", *(word for param in command.params for word in param.opts)}
        known |= {word for param in command.params for word in param.secondary_opts}
        assert {word for word in rest if word.startswith("-")} <= known, line


def test_a_rollout_is_watched_in_five_commands() -> None:
    ((_, block),) = FENCE.findall(section("README.md", "Watch a rollout in five commands"))

    assert [line.split()[0] for line in block.splitlines()] == ["recstream"] * 5


def test_every_target_of_make_that_a_page_names_exists() -> None:
    known = set(re.findall(r"^(\w+):", text_of(ROOT / "Makefile"), re.MULTILINE))

    def named(page: Path) -> list[str]:
        blocks = (block for _, block in FENCE.findall(text_of(page)))
        shown = "\n".join([*INLINE.findall(prose_of(page)), *blocks])
        return re.findall(r"^make (\w+)", shown, re.MULTILINE)

    assert unknown(named, known) == []


@cache
def routes() -> set[str]:
    """Return the routes of a worker's pages; making them asks nothing of the worker."""
    parts = some_parts(Path("nowhere"))
    app = build_pages(parts, build_observers(parts)).application()
    found = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource
    }
    return {route for route in found if not route.startswith("HEAD ")}


def test_the_api_reference_is_what_the_code_makes() -> None:
    assert text_of(reference.API) == reference.api_reference(), "run `make docs`"


def test_the_api_reference_lists_the_endpoints_that_there_are() -> None:
    listed = [cell for cell, *_ in rows_of(text_of(DOCS / "API_REFERENCE.md"))]

    assert {" ".join(match) for match in ENDPOINT.findall("\n".join(listed))} == routes()


def test_every_endpoint_that_a_page_names_exists() -> None:
    def named(page: Path) -> list[str]:
        inline = " ; ".join(INLINE.findall(prose_of(page)))
        return [" ".join(match) for match in ENDPOINT.findall(inline)]

    assert unknown(named, routes()) == []


def test_every_path_of_a_page_that_a_page_names_exists() -> None:
    known = {route.partition(" ")[2] for route in routes()} | {"/recommend"}

    def named(page: Path) -> list[str]:
        return [match for match in INLINE.findall(prose_of(page)) if BARE_PATH.fullmatch(match)]

    assert unknown(named, known) == []


def test_the_page_for_applications_lists_every_source_and_every_reason_for_a_fallback() -> None:
    page = "docs/how-to/call-it-from-your-application.md"
    tables = section(page, "What an answer means").split("\n\n")

    def listed(head: str) -> set[str]:
        (table,) = [table for table in tables if table.lstrip().startswith(f"| `{head}`")]
        return {code for cell, *_ in rows_of(f"{table}\n") for code in INLINE.findall(cell)}

    assert listed("status") == set(get_args(AnswerStatus))
    assert listed("source") == set(get_args(Source))
    assert listed("fallback_reason") == set(FallbackCode)
    assert set(AnswerCode) <= set(INLINE.findall(text_of(ROOT / page)))


def test_every_setting_that_a_page_names_exists() -> None:
    settings = {str(field.alias) for field in Settings.model_fields.values()}
    known = settings | {f"{setting[:end]}*" for setting in settings for end in range(len(setting))}

    def named(page: Path) -> list[str]:
        return ["".join(match) for match in SETTING.findall(text_of(page))]

    assert unknown(named, known) == []


def test_every_metric_that_a_page_names_exists() -> None:
    """Or is a field of an HTTP answer; these are named alike."""
    known = {cell.strip("`") for cell, *_ in rows_of(text_of(reference.FOLDER / "metrics.md"))}
    schemas = openapi.document()["components"]["schemas"].values()
    known |= {name for schema in schemas for name in schema.get("properties", {})}

    def named(page: Path) -> list[str]:
        return [match for match in INLINE.findall(prose_of(page)) if METRIC.fullmatch(match)]

    assert unknown(named, known) == []


def test_every_topic_that_a_page_names_exists() -> None:
    known = {topic.name for topic in topics_of(read_settings({}))}

    assert unknown(lambda page: re.findall(r"`(reco\.[\w-]+)`", text_of(page)), known) == []


def test_there_is_an_answer_to_every_code(made: dict[str, str]) -> None:
    page = DOCS / "how-to" / "when-something-is-wrong.md"
    answered = {code for cell, *_ in rows_of(text_of(page)) for code in INLINE.findall(cell)}
    answered -= alerts()
    answered |= set(re.findall(r"^`(\w+)` is `recstream", text_of(page), re.MULTILINE))
    named = {code.strip("`") for code, *_ in rows_of(made["errors.md"])}
    named |= own_codes(errors.RecstreamError)

    assert answered == named


def test_there_is_an_answer_to_every_alert() -> None:
    page = "docs/how-to/when-something-is-wrong.md"
    answered = {
        alert
        for cell, *_ in rows_of(section(page, "An alert fires"))
        for alert in INLINE.findall(cell)
    }

    assert answered == alerts()


def alerts() -> set[str]:
    rules = ROOT / "ops" / "monitoring" / "prometheus" / "alerts.yml"
    groups = yaml.safe_load(text_of(rules))["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"]}


def own_codes(error: type[errors.RecstreamError]) -> set[str]:
    below = [own_codes(child) for child in error.__subclasses__()]
    return {error.code}.union(*below)


DEFAULTS = Settings()
FEW = ("no", "one", "two", "three", "four")
NUMBERS = {
    "limits.md": [
        f"latest {COMMANDS_REMEMBERED} commands",
        f"latest {PREVIOUS_VERSIONS_KEPT} primaries",
        f"up to {USERS_COUNTED:,} an epoch",
        f"up to {1 / LEAST_PAUSE_SECONDS:g} times a second and arm",
        f"at most {MAX_ITEMS // 1_000_000} million items",
        f"`faust-streaming` {distribution('faust-streaming')}",
        f"`mode-streaming` {distribution('mode-streaming')}",
    ],
    "ROLLOUT_GUIDE.md": [
        f"patience is {PATIENCE_HOLDS} × `hold_seconds` unless",
        f"at least {LOADING_SECONDS:g} s while versions are loaded",
        f"{ROLL_BACK_SECONDS:g} s from the evidence to the last worker: a heartbeat "
        f"({HEARTBEAT_SECONDS:g} s), a look ({TICK_SECONDS:g} s)",
        f"after {LIVE_SECONDS:g} s of silence it blocks no step",
    ],
    "explanation/ramps.md": [f"a heartbeat within the last {LIVE_SECONDS:g} s"],
    "how-to/call-it-from-your-application.md": [
        f"waits for `deadline_seconds`, {DEADLINE_SECONDS:g} s unless",
        f"`TransportError` after {CONFIRMATION_SECONDS:g} s without a confirmation",
        f"The default deadline is {WAIT_MS / 1000:g} s (`deadline_ms`)",
        f"each worker has {MOST_WAITING} such requests in flight at most (then 429)",
        f"up to {MOST_CANDIDATES:,} ids",
        f"up to {MOST_LIKED} item ids",
        f"up to {MOST_SESSION_ITEMS} of",
        f"Up to {MOST_LABELS} labels with {MOST_LABELS} values each",
        f"strings of up to {ID_CHARACTERS} characters",
        f"from at least {FEW[DEFAULTS.fold_in_least]} items used since the training",
        f"fewer than {FEW[DEFAULTS.fold_in_least]} known items were sent since",
        f"`RECSTREAM_SESSION_TIMEOUT` ({DEFAULTS.session_timeout:g} s)",
        f"`k` is at most {MAX_K}",
        f"`RECSTREAM_MAX_REQUEST_BYTES` ({DEFAULTS.max_request_bytes // 1024} KiB)",
        f"an answer may be {LARGE_RECORD_BYTES // 1024**2} MiB",
        f"the first {MOST_HEADERS}, {MOST_BYTES // 1024} KiB in all",
        f"has {MAX_IN_FLIGHT} requests in flight at most (`max_in_flight`)",
        f"`RECSTREAM_HTTP_PORT`, {DEFAULTS.http_port} by default",
    ],
    "how-to/bring-your-interactions.md": [f"it may send up to {NOTE_RECORDS:,} records again"],
    "how-to/when-something-is-wrong.md": [
        f"loading is tried again every {RETRY_SECONDS:g} s",
        f"when a rebalance has lasted for {REBALANCE_SECONDS / 60:g} minutes",
        f"nobody decided within {RESULT_SECONDS:g} s",
    ],
    "how-to/retrain-on-a-schedule.md": [f"waits for {SILENT_SECONDS:g} s of silence first"],
}
"""By page, what it says of a constant of the code."""


@each_cell("page", NUMBERS)
def test_a_number_that_a_page_says_is_that_of_the_code(page: str) -> None:
    words = " ".join(text_of(DOCS / page).split())

    assert [number for number in NUMBERS[page] if number not in words] == []


def test_the_changelog_begins_with_the_version_to_come() -> None:
    version = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["version"]

    assert version in section("CHANGELOG.md", "[Unreleased]")


T = TypeVar("T", bound=Hashable)
LABEL = re.compile(r"^- \*\*(.+?)\*\*", re.MULTILINE)


def twice(found: Iterable[T]) -> list[T]:
    """Return what comes more than once."""
    return [each for each, times in Counter(found).items() if times > 1]


def test_the_changelog_tells_nothing_twice() -> None:
    """Merges by union bring lines back that were edited on one side."""
    text = text_of(ROOT / "CHANGELOG.md")

    assert twice(LABEL.findall(text)) == []
    assert twice(line for line in text.splitlines() if len(line) > 40) == []


def test_the_limits_and_the_failure_scenarios_tell_nothing_twice() -> None:
    scenarios = text_of(ROOT / "docs" / "explanation" / "failure-scenarios.md")
    first_cells = re.findall(r"^\| (.+?) \|", scenarios, re.MULTILINE)
    sections = re.split(r"^## ", text_of(ROOT / "docs" / "limits.md"), flags=re.MULTILINE)
    labels = [(n, at) for n, text in enumerate(sections) for at in LABEL.findall(text)]

    assert twice(cell for cell in first_cells if len(cell) > 20) == []
    assert twice(labels) == []
