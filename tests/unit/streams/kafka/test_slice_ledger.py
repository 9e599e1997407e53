"""The ledger: what may be committed of slices that are acknowledged in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from faust.types import Message
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from streams.kafka.slice_ledger import Ledger


def a_slice(last_offset: int) -> Message:
    return Message("reco.requests", 0, last_offset, 0.0, 0, None, None, None, None)


class Deliver(NamedTuple):
    """The next slice: so many records after a hole of so many offsets."""

    hole: int
    records: int


class Acknowledge(NamedTuple):
    """One of the slices that wait, counted round."""

    which: int


SCRIPTS = st.lists(
    st.one_of(
        st.builds(Deliver, st.integers(0, 3), st.integers(1, 5)),
        st.builds(Acknowledge, st.integers(0, 9)),
    ),
    max_size=20,
)


class Twin:
    """All slices ever, looked through from the start each time: slow, and plain to see right."""

    def __init__(self) -> None:
        self.slices: list[tuple[int, int, Message]] = []  # first offset, records, message

    def committed(self) -> int | None:
        offset = None
        for _, _, message in self.slices:
            if not message.acked:
                break
            offset = message.offset + 1
        return offset

    def waiting(self) -> list[int]:
        """First offsets of the slices that are not acknowledged."""
        return [first for first, _, message in self.slices if not message.acked]

    def unacknowledged(self) -> int:
        """Records of the slices after the committed prefix."""
        start = self.committed() or 0
        return sum(records for first, records, _ in self.slices if first >= start)


def is_exact(make: Callable[[], Ledger], script: list[Deliver | Acknowledge]) -> bool:
    """Tell whether, after each step, the ledger commits and counts what the twin does.

    And whether no record that waits for its answer is ever below the committed offset.
    """
    ledger, twin, next_offset = make(), Twin(), 0
    for step in script:
        waiting = [message for _, _, message in twin.slices if not message.acked]
        if isinstance(step, Deliver):
            first = next_offset + step.hole
            next_offset = first + step.records
            twin.slices.append((first, step.records, a_slice(next_offset - 1)))
            ledger.deliver(twin.slices[-1][2], step.records)
        elif waiting:
            waiting[step.which % len(waiting)].acked = True
        committed, unacknowledged = ledger.settle(), ledger.unacknowledged
        if (committed, unacknowledged) != (twin.committed(), twin.unacknowledged()):
            return False
        if committed is not None and any(first < committed for first in twin.waiting()):
            return False
    return True


class CommitsTheLastAcknowledged(Ledger):
    """The negative control: takes an acknowledged slice for all before it."""

    def settle(self) -> int | None:
        acknowledged = [message.offset for message, _ in self._slices if message.acked]
        self.next_offset = max(acknowledged) + 1 if acknowledged else self.next_offset
        while self._slices and self._slices[0][0].offset < (self.next_offset or 0):
            self.unacknowledged -= self._slices.popleft()[1]
        return self.next_offset


@settings(deadline=None)
@given(SCRIPTS)
def test_in_any_order_of_acknowledgement_the_longest_answered_prefix_is_committed(
    script: list[Deliver | Acknowledge],
) -> None:
    assert is_exact(Ledger, script)


def test_a_ledger_that_commits_the_last_acknowledged_slice_fails_the_same_property() -> None:
    script = find(
        SCRIPTS,
        lambda script: not is_exact(CommitsTheLastAcknowledged, script),
        settings=settings(
            phases=[Phase.generate], deadline=None, derandomize=True, max_examples=2_000
        ),
    )
    assert is_exact(Ledger, script)


def test_nothing_is_committed_before_the_first_slice_is_answered() -> None:
    ledger = Ledger()
    assert ledger.settle() is None
    ledger.deliver(a_slice(9), 10)
    assert (ledger.settle(), ledger.unacknowledged) == (None, 10)


def test_a_slice_that_is_answered_first_waits_for_the_one_before_it() -> None:
    ledger, first, second = Ledger(), a_slice(9), a_slice(14)
    ledger.deliver(first, 10)
    ledger.deliver(second, 5)
    second.acked = True
    assert (ledger.settle(), ledger.unacknowledged) == (None, 15)
    first.acked = True
    assert (ledger.settle(), ledger.unacknowledged) == (15, 0)


def test_a_hole_belongs_to_the_slice_that_follows_it() -> None:
    ledger, first, second = Ledger(), a_slice(9), a_slice(1_000)
    ledger.deliver(first, 10)
    ledger.deliver(second, 2)
    first.acked = True
    assert ledger.settle() == 10
    second.acked = True
    assert ledger.settle() == 1_001


def test_what_was_committed_stays_known_when_nothing_waits() -> None:
    ledger, only = Ledger(), a_slice(9)
    ledger.deliver(only, 10)
    only.acked = True
    assert [ledger.settle(), ledger.settle(), ledger.next_offset] == [10, 10, 10]
