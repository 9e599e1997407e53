"""Retention: what is named, new or young stays, and the rest goes in two steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from harness.cells import each_cell

from registry.errors import ConfigurationError
from registry.versions.garbage import Held, RetentionRules, VersionFate, judge

NOW = datetime(2026, 1, 10, tzinfo=UTC)
RULES = RetentionRules(keep=1, grace=timedelta(days=1))


def held(version: str, published: bool = True, age: timedelta = timedelta(days=3)) -> Held:
    return Held(version, published, NOW - age)


def fates(*folders: Held, named: dict[str, list[str]] | None = None) -> dict[str, str]:
    return {judged.version: judged.fate for judged in judge(folders, named or {}, RULES, NOW)}


@each_cell(
    ("published", "named", "old", "fate"),
    [
        (True, False, True, "hiding"),
        (True, False, False, "kept"),
        (True, True, True, "kept"),
        (True, True, False, "kept"),
        (False, False, True, "removed"),
        (False, False, False, "hidden"),
        (False, True, True, "restored"),
        (False, True, False, "restored"),
    ],
)
def test_every_cell_of_what_becomes_of_a_version(
    published: bool, named: bool, old: bool, fate: str
) -> None:
    age = timedelta(days=1) if old else timedelta(hours=23)
    names = {"v0.1": ["state of eu"]} if named else {}
    seen = fates(held("v0.1", published, age), held("v0.2"), named=names)
    assert seen == {"v0.1": fate, "v0.2": "kept"}


def test_the_newest_are_kept_by_number_not_by_text_nor_by_time() -> None:
    seen = fates(held("v0.10"), held("v0.9", age=2 * timedelta(days=1)), held("v0.11", False))
    assert seen == {"v0.9": "hiding", "v0.10": "kept", "v0.11": "removed"}


def test_it_says_who_names_a_version_each_once() -> None:
    (judged,) = judge([held("v0.1")], {"v0.1": ["eu", "us", "eu"]}, RULES, NOW)
    assert judged == VersionFate("v0.1", "kept", "eu, us")


def test_nothing_is_no_problem() -> None:
    assert judge([], {"v0.1": ["eu"]}, RULES, NOW) == []


@each_cell(("keep", "hours"), [(0, 1), (-1, 1), (1, -0.1)])
def test_rules_that_cannot_be_meant_are_refused(keep: int, hours: float) -> None:
    with pytest.raises(ConfigurationError, match="must"):
        RetentionRules(keep, timedelta(hours=hours))
