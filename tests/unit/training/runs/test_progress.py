"""The lines of a run."""

from __future__ import annotations

import io

import msgspec
import pytest

from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed
from registry.wire.training_records.training_messages import (
    TrainingLine,
    TrainingProgress,
    TrainingResult,
)
from training.runs.progress import Journal, line_writer


def test_each_line_is_one_json_object_that_says_its_kind() -> None:
    stream = io.BytesIO()
    write = line_writer(stream)
    lines = [TrainingProgress("r", "fit", 1, 2, "a\nb"), TrainingResult("r", "refused")]

    for line in lines:
        write(line)

    read = [msgspec.json.decode(line, type=TrainingLine) for line in stream.getvalue().splitlines()]
    assert read == lines


def test_a_stage_reports_its_start_and_is_measured_even_if_it_fails() -> None:
    lines: list[TrainingProgress] = []
    journal = Journal("r", lines.append)

    with pytest.raises(TrainingFailed), journal.stage("fit"):
        raise TrainingFailed("no", TrainingCode.INTERNAL)

    assert lines == [TrainingProgress("r", "fit", 0, 0)]
    assert journal.stage_seconds["fit"] >= 0


def test_the_seconds_of_a_stage_that_comes_again_are_added() -> None:
    journal = Journal("r", lambda _: None)
    journal.stage_seconds["fit"] = 100.0  # as if it had taken so long before

    with journal.stage("fit"):
        pass

    assert 100 <= journal.stage_seconds["fit"] < 101


def test_a_check_comes_before_each_step() -> None:
    lines: list[TrainingProgress] = []
    journal = Journal("r", lines.append)

    def lost() -> None:
        raise TrainingFailed("gone", TrainingCode.LOST_LOCK)

    journal.check_each_step(lost)

    with pytest.raises(TrainingFailed):
        journal.advance(1, 2)
    assert not lines
