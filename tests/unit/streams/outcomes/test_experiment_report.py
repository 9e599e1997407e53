"""What the report of an experiment says, in both spellings."""

from __future__ import annotations

from registry.interleaving.preference import PreferenceTally, prefer
from registry.outcomes.conclusion import Arm, conclude
from registry.wire.command_results import CommandResult
from registry.wire.instants import BEGINNING
from registry.wire.outcome_records import ArmSums
from streams.outcomes.experiment_report import EndedExperiment, report_pages
from tests.unit.registry.builders import a_canary_state

STATE = a_canary_state(strategy="ab_test")
ENDED = CommandResult(
    "c1", "promote", "production", "applied", 9, "anna", BEGINNING, reason="<b>bold|er</b>"
)


def pages_of(found: object) -> tuple[str, str]:
    pages = report_pages(EndedExperiment(STATE, ENDED, found))
    return pages["report.html"].decode(), pages["report.md"].decode()


def test_a_report_says_what_could_be_concluded_of_two_arms_and_who_ended_it() -> None:
    sums = (ArmSums(500, 100, 120.0, 900), ArmSums(500, 200, 240.0, 900))
    found = conclude(Arm("A", "v0.1", sums[0]), Arm("B", "v0.2", sums[1]), 0.5)
    html, markdown = pages_of(found)
    for page in (html, markdown):
        assert found.words in page
        assert "promote of anna" in page
        assert "Split of the users: users 500 B, 500 A" in page
    assert "| B | v0.2 | 500 | 200 | 240 | 900 |" in markdown
    assert "<tr><td>B</td><td>v0.2</td><td>500</td><td>200</td>" in html


def test_a_report_of_an_interleaving_counts_the_users_who_prefer_each_version() -> None:
    found = prefer("v0.1", "v0.2", PreferenceTally(30, 8, 22))
    html, markdown = pages_of(found)
    assert found.words in markdown
    assert "| canary | v0.2 | 30 |" in markdown
    assert "<td>neither</td><td></td><td>22</td>" in html


def test_what_somebody_gave_as_a_reason_is_no_markup_in_a_report() -> None:
    html, markdown = pages_of(prefer("v0.1", "v0.2", PreferenceTally(30, 8, 22)))
    assert "<b>" not in html + markdown
    assert "&lt;b>bold\\|er&lt;/b>" in markdown
