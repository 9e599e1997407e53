"""When a version in memory may answer: each cell."""

from __future__ import annotations

import pytest

from streams.fresh.range_readiness import is_ready


@pytest.mark.parametrize(
    ("lagging", "answering", "waited", "ready"),
    [
        (set(), [], 0.0, True),  # a worker starts: nobody else answers
        ({0, 1}, [], 0.0, True),
        (set(), [set()], 0.0, True),  # it needs no more than what is read
        ({0}, [set()], 0.0, False),  # a swap to a version that reaches further back
        ({0}, [set()], 4.9, False),
        ({0}, [set()], 5.0, True),  # for so long, and no longer
        ({0}, [{0, 1}], 0.0, True),  # after a rebalance: who answers has not read it either
        ({0, 1}, [{0}], 0.0, False),
        ({0}, [{0}, set()], 0.0, False),  # one of two that answer has
        ({0}, [{0}, {0, 1}], 0.0, True),
    ],
)
def test_a_version_waits_for_what_the_others_have_read_and_not_for_ever(
    lagging: set[int], answering: list[set[int]], waited: float, ready: bool
) -> None:
    assert is_ready(lagging, answering, waited, 5.0) is ready
