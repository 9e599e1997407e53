"""Two logs as one sequence: answers and interactions of one partition, in the order of their times.

Pure. Time is that of the records. In each log it never goes back: a record that bears an earlier
time than one before it counts at that one's time, as if the broker had stamped it. So the sequence
is a function of the two logs and their times alone, however far ahead one of them happens to be
read. Must not know what the records are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

A = TypeVar("A")
E = TypeVar("E")


class MergedStreams(Generic[A, E]):
    """Takes records of both logs in, each in its own order, and gives out those that are next,
    with the times in milliseconds that they count at.

    At the same time, answers come before interactions.

    Attributes
    ----------
    clock
        All records of both logs before this time, in milliseconds, are known.
    """

    def __init__(self) -> None:
        self._answers: deque[tuple[int, A]] = deque()
        self._events: deque[tuple[int, E]] = deque()
        self._answers_until = self._events_until = 0

    def take_answers(self, answers: Iterable[tuple[int, A]]) -> None:
        """Take in the next records of the answers, each with its time."""
        until, waiting = self._answers_until, self._answers
        for at, answer in answers:
            until = max(until, at)
            waiting.append((until, answer))
        self._answers_until = until

    def take_event(self, at: int, event: E) -> None:
        """Take in the next record of the interactions."""
        self._events_until = max(self._events_until, at)
        self._events.append((self._events_until, event))

    def pass_answers(self, until: int) -> None:
        """Note that no answer of before `until` is unread; one that comes late counts then."""
        self._answers_until = max(self._answers_until, until)

    def pass_events(self, until: int) -> None:
        """Note that no interaction of before `until` is unread; as with answers."""
        self._events_until = max(self._events_until, until)

    @property
    def clock(self) -> int:
        """See the class."""
        return min(self._answers_until, self._events_until)

    @property
    def waiting(self) -> int:
        """Records that wait for the other log to be read as far."""
        return len(self._answers) + len(self._events)

    def __iter__(self) -> Iterator[tuple[int, A | None, E | None]]:
        """Yield time, and answer or interaction, of all whose place in the sequence is known."""
        answers, events = self._answers, self._events
        while True:
            if answers and (not events or answers[0][0] <= events[0][0]):
                if answers[0][0] > self._events_until:
                    return
                at, answer = answers.popleft()
                yield at, answer, None
            elif events and events[0][0] < self._answers_until:
                at, event = events.popleft()
                yield at, None, event
            else:
                return
