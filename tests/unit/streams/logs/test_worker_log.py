"""What a worker's log shows of what is logged."""

from __future__ import annotations

import logging
from typing import Any

from streams.logs.log_folding import FOLD_SECONDS
from streams.logs.worker_log import FoldingFilter


def a_record(
    message: str, *args: Any, name: str = "streams.worker", level: int = logging.WARNING, at: float
) -> logging.LogRecord:
    record = logging.LogRecord(name, level, __file__, 1, message, args, None)
    record.created = at
    return record


def shown(*records: logging.LogRecord) -> list[str]:
    lines = FoldingFilter()
    return [
        f"{record.levelname} {record.getMessage()}" for record in records if lines.filter(record)
    ]


def test_own_lines_are_shown_as_they_are() -> None:
    records = [a_record("step %d", n, level=logging.INFO, at=0) for n in (1, 2)]

    assert shown(*records) == ["INFO step 1", "INFO step 2"]


def test_warnings_that_differ_in_figures_only_are_folded() -> None:
    records = [a_record("lost %d s", n, at=n) for n in range(10)]
    records.append(a_record("lost %d s", 99, at=FOLD_SECONDS))

    assert shown(*records) == [
        "WARNING lost 0 s",
        "WARNING lost 99 s (9 more since it was last shown)",
    ]


def test_what_a_library_mends_by_itself_is_shown_once_as_informative() -> None:
    records = [
        a_record(
            "Unable connect to node with id %s: refused",
            node,
            name="aiokafka",
            level=logging.ERROR,
            at=node,
        )
        for node in (1, 2, 3)
    ]

    assert shown(*records) == ["INFO Unable connect to node with id 1: refused"]


def test_what_libraries_tell_of_their_work_is_not_shown() -> None:
    records = [
        a_record("Discovered coordinator", name="aiokafka", level=logging.INFO, at=0),
        a_record("[^--PatientRecovery]: Starting...", level=logging.INFO, at=0),
        a_record("[^-SliceConsumer]: Timer commit woke up too late", at=0),
    ]

    assert shown(*records) == []


def test_an_error_of_faust_in_a_class_of_ours_is_shown() -> None:
    record = a_record(
        "[^--PatientRecovery]: Crashed reason=ValueError()", level=logging.ERROR, at=0
    )

    assert shown(record) == ["ERROR [^--PatientRecovery]: Crashed reason=ValueError()"]


def test_an_error_of_ours_stays_one() -> None:
    assert shown(a_record("this worker ends", level=logging.ERROR, at=0)) == [
        "ERROR this worker ends"
    ]
