"""The join: which answer gets the credit for what a user did, and when a user's window closes.

Pure: answers and interactions of one partition and one epoch in, in the order of
`registry.outcomes.merged_streams`; outcomes and closed users out. The rules:

1. An *exposure* is an answer with status ``ok`` to a user in an arm. Sent again under the same
   request id, it is the same one: the first counts.
2. An *outcome* is an interaction, of a kind that counts, with an item of an answer to the same user
   from the answer's time on, for less than the attribution window. With a ``request_id``, that
   answer gets the credit or none does; without, the latest one that showed the item.
3. Of one answer, an item and a kind of interaction make one outcome: a record that came twice, and
   a second click, add nothing.
4. A user's window begins with his first exposure and is as long as the attribution window. What
   happens at its end or later is not in it. When both logs have been read up to its end, the user
   *closes*, once, with his outcomes (by their values) and exposures.
5. What cannot be credited, because its answer is older, of another epoch or unknown, is not an
   outcome.
6. Of an answer that two versions made (strategy ``interleave``), the version that contributed the
   item gets the credit. An item of neither is not an outcome. An answer that one version made alone
   under that strategy is not an exposure, but it may be the latest that showed an item: then nobody
   gets the credit.

Must not know Kafka, or what becomes of the sums.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from registry.ids import ItemId, UserId
from registry.outcomes.open_answers import OpenAnswer, OpenAnswers
from registry.wire.field_types import Variant

MOST_USERS: Final = 200_000
"""Users of one partition that are remembered under one epoch, some 100 bytes each once closed.
Those who come later are left out, of both arms alike, and counted."""


class Exposure(NamedTuple):
    """An answer that a user got: one arm's, or, with ``teams``, of two, by item.

    Without a variant and without teams, it is an answer for which nobody gets any credit.
    """

    user_id: UserId
    request_id: str
    items: tuple[ItemId, ...]
    variant: Variant | None
    teams: tuple[Variant | None, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether somebody may get credit for it."""
        return self.variant is not None or bool(self.teams)


class Action(NamedTuple):
    """An interaction of a kind that counts, and its value as an outcome."""

    user_id: UserId
    item_id: ItemId
    event: str
    value: float
    request_id: object = None


class Credit(NamedTuple):
    """An outcome: an action at a time in milliseconds, and the answer that gets the credit."""

    action: Action
    answer: OpenAnswer
    at: int


class Closing(NamedTuple):
    """A user whose window has closed: it began at ``since``, in milliseconds.

    ``lead`` is by how much more of his outcomes are the canary version's than the primary's.
    """

    user_id: UserId
    variant: Variant | None
    outcomes: float
    exposures: int
    since: int
    lead: float = 0.0


class Joined(NamedTuple):
    """What the join has found out."""

    credits: list[Credit]
    closings: list[Closing]


class _Window:
    __slots__ = ("exposures", "lead", "outcomes", "since", "variant")

    def __init__(self, since: int, variant: Variant | None) -> None:
        self.since = since
        self.variant = variant
        self.outcomes = 0.0
        self.lead = 0.0
        self.exposures = 0


class Attribution:
    """The join of one partition under one epoch; see the module.

    Parameters
    ----------
    window_ms
        The attribution window.
    most_users
        See `MOST_USERS`.

    Attributes
    ----------
    left_out
        Exposures of users beyond `most_users`.
    """

    def __init__(self, window_ms: int, most_users: int = MOST_USERS) -> None:
        self._window_ms = window_ms
        self._most_users = most_users
        self._answers = OpenAnswers()
        self._expiring: deque[UserId] = deque()  # a user for each answer, in their order
        self._credited: dict[tuple[UserId, str], set[tuple[ItemId, str]]] = {}
        self._windows: dict[UserId, _Window] = {}  # in the order in which they close
        self._closed: set[UserId] = set()
        self._found = Joined([], [])
        self.left_out = 0

    @property
    def open_windows(self) -> int:
        """Users whose window has not closed yet."""
        return len(self._windows)

    def enter(self, user_id: UserId) -> None:
        """Note that a user has closed already: he is in the evidence."""
        self._windows.pop(user_id, None)
        self._closed.add(user_id)

    def expose(self, at: int, exposure: Exposure) -> None:
        """Take in the next answer."""
        self.pass_time(at)
        user = exposure.user_id
        if user not in self._windows and user not in self._closed:
            if not exposure.counts:
                return
            if len(self._windows) + len(self._closed) >= self._most_users:
                self.left_out += 1
                return
            self._windows[user] = _Window(at, exposure.variant)
        if not self._answers.add(*exposure, at):
            return
        self._expiring.append(user)
        if user in self._windows and exposure.counts:
            self._windows[user].exposures += 1

    def act(self, at: int, action: Action) -> None:
        """Take in the next interaction."""
        self.pass_time(at)
        answer = self._answers.latest_with(action.user_id, action.item_id, action.request_id)
        if answer is None or answer.variant is None:
            return
        credited = self._credited.setdefault((action.user_id, answer.request_id), set())
        if (action.item_id, action.event) in credited:
            return
        credited.add((action.item_id, action.event))
        self._found.credits.append(Credit(action, answer, at))
        if action.user_id in self._windows:
            window = self._windows[action.user_id]
            window.outcomes += action.value
            if answer.is_mixed:
                window.lead += action.value if answer.variant == "canary" else -action.value

    def pass_time(self, now: int) -> None:
        """Close the windows that end by `now`, and forget answers that get no credit any more."""
        while self._windows:
            user, window = next(iter(self._windows.items()))
            if window.since + self._window_ms > now:
                break
            self.enter(user)
            self._found.closings.append(
                Closing(
                    user,
                    window.variant,
                    window.outcomes,
                    window.exposures,
                    window.since,
                    window.lead,
                )
            )
        while self._expiring:
            if self._answers.oldest_at() + self._window_ms > now:
                break
            user = self._expiring.popleft()
            self._credited.pop((user, self._answers.drop_oldest(user)), None)

    def collect(self) -> Joined:
        """Return what was found since the last call."""
        found, self._found = self._found, Joined([], [])
        return found
