"""What the report of an experiment says, in both spellings."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from registry.interleaving.preference import PreferenceTally, prefer
from registry.outcomes.conclusion import Arm, conclude
from registry.settings import read_settings
from registry.storage.objects import Objects
from registry.wire.command_results import CommandResult
from registry.wire.instants import BEGINNING
from registry.wire.outcome_records import ArmSums, PartitionSums
from streams.outcomes.experiment_report import EndedExperiment, report_pages
from streams.outcomes.report_writer import ReportWriter
from streams.state.rollout_view import RolloutView
from tests.unit.registry.builders import a_canary_state, a_heartbeat, a_state

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


def a_writer(folder: Path, users: int = 3, outcomes: str = "on") -> ReportWriter:
    """Return the writer of an owner that has heard of so many closed users."""
    view = RolloutView(20.0)
    sums = PartitionSums(STATE.epoch, 0, "A", ArmSums(users, 1, 1.0, users))
    view.hear([a_heartbeat(outcomes=(sums,) if users else ())], 0.0)
    settings = read_settings({"RECSTREAM_OUTCOMES": outcomes})
    return ReportWriter(settings, Objects(str(folder)), view)


def test_only_an_applied_command_that_ends_what_users_were_counted_in_is_reported(
    tmp_path: Path,
) -> None:
    counted = a_writer(tmp_path)
    assert counted.look(STATE, ENDED) is not None
    assert counted.look(None, ENDED) is None
    assert counted.look(a_state(), ENDED) is None  # nothing was compared
    assert counted.look(STATE, replace(ENDED, status="rejected")) is None
    assert counted.look(STATE, replace(ENDED, epoch=STATE.epoch)) is None  # nothing has changed
    for writer in (a_writer(tmp_path, users=0), a_writer(tmp_path, outcomes="off")):
        assert writer.look(STATE, ENDED) is None


def test_a_report_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def written(folder: Path) -> None:
        writer = a_writer(folder)
        ended = writer.look(STATE, ENDED)
        assert ended is not None
        writer.write(ended)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    with caplog.at_level(logging.WARNING):
        asyncio.run(written(tmp_path))
        assert caplog.messages == []
    names = Objects(str(tmp_path)).names(f"experiments/production/{STATE.epoch}")
    assert sorted(names) == ["report.html", "report.md"]

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "experiments").write_text("no folder")
    asyncio.run(written(tmp_path / "full"))
    (warning,) = caplog.messages
    assert warning.startswith("the report of an experiment was not written: ")
