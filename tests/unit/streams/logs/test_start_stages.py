"""The stages of a worker's start add up to the whole."""

from __future__ import annotations

from streams.logs.start_stages import Stages, process_age_seconds


def test_the_process_is_older_than_nothing_and_its_age_counts() -> None:
    age = process_age_seconds()
    assert age >= 0.0
    start = Stages(5.0, iter([0.0, 1.0, 3.0]).__next__)
    start.end("imports")
    start.end("topics")
    assert str(start) == "8.00 s: imports 6.00, topics 2.00"
