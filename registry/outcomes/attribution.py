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
from registry.outcomes.open_answers import NOWHERE, Asker, OpenAnswer, OpenAnswers
from registry.wire.field_types import Variant

MOST_USERS: Final = 200_000
"""Users of one partition that are remembered under one epoch, some 100 bytes each once closed.
Those who come later are left out, of both arms alike, and counted."""


class Exposure(NamedTuple):
    """An answer that a user got: his arm's, or, with ``teams``, of two arms, by item.

    Where ``counts`` is false, nobody gets any credit for it.
    """

    user_id: UserId
    request_id: str
    items: tuple[ItemId, ...]
    teams: tuple[Variant | None, ...] = ()
    counts: bool = True


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
    outcomes: float
    exposures: int
    since: int
    lead: float = 0.0


class Joined(NamedTuple):
    """What the join has found out."""

    credits: list[Credit]
    closings: list[Closing]


class _User(Asker):
    """A user with a window that is open, or with answers that still may get some credit."""

    __slots__ = ("credited", "exposures", "is_open", "lead", "outcomes", "since")

    def __init__(self, user_id: UserId, since: int, *, is_open: bool) -> None:
        self.user_id = user_id
        self.latest = NOWHERE
        self.names = None
        self.since = since
        self.is_open = is_open
        self.outcomes = 0.0
        self.lead = 0.0
        self.exposures = 0
        self.credited: dict[int, set[tuple[ItemId, str]]] | None = None  # by an answer's place


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
    open_windows
        Users whose window has not closed yet.
    left_out
        Exposures of users beyond `most_users`.
    """

    def __init__(self, window_ms: int, most_users: int = MOST_USERS) -> None:
        self._window_ms = window_ms
        self._most_users = most_users
        self._answers: OpenAnswers[_User] = OpenAnswers()
        self._users: dict[UserId, _User | None] = {}  # None: closed, and no answer is open
        self._closing: deque[_User] = deque()  # in the order in which their windows end
        self._found = Joined([], [])
        self.open_windows = 0
        self.left_out = 0

    def enter(self, user_id: UserId) -> None:
        """Note that a user has closed already: he is in the evidence."""
        user = self._users.setdefault(user_id, None)
        if user is not None and user.is_open:
            user.is_open = False
            self.open_windows -= 1

    def expose(self, at: int, exposure: Exposure) -> None:
        """Take in the next answer."""
        oldest_at = self._answers.oldest_at
        if oldest_at is not None and at >= oldest_at + self._window_ms:
            self.pass_time(at)
        user_id, request_id, items, teams, counts = exposure
        user = self._users.get(user_id)
        if user is None:
            entered = self._let_in(at, user_id, counts=counts)
            if entered is None:
                return
            user = entered
        if self._answers.add(user, request_id, items, teams, counts, at) and counts:
            user.exposures += 1

    def _let_in(self, at: int, user_id: UserId, *, counts: bool) -> _User | None:
        """Return a user without open answers; None if he may not enter."""
        is_open = user_id not in self._users
        if is_open:
            if not counts:
                return None
            if len(self._users) >= self._most_users:
                self.left_out += 1
                return None
        user = self._users[user_id] = _User(user_id, at, is_open=is_open)
        if is_open:
            self.open_windows += 1
            self._closing.append(user)
        return user

    def act(self, at: int, action: Action) -> None:
        """Take in the next interaction."""
        self.pass_time(at)
        user = self._users.get(action.user_id)
        if user is None:
            return
        answer = self._answers.latest_with(user, action.item_id, action.request_id)
        if answer is None or not answer.counts or (answer.is_mixed and answer.team is None):
            return
        if user.credited is None:
            user.credited = {}
        credited = user.credited.setdefault(answer.place, set())
        if (action.item_id, action.event) in credited:
            return
        credited.add((action.item_id, action.event))
        self._found.credits.append(Credit(action, answer, at))
        user.outcomes += action.value
        if answer.is_mixed:
            user.lead += action.value if answer.team == "canary" else -action.value

    def pass_time(self, now: int) -> None:
        """Close the windows that end by `now`, and forget answers that get no credit any more."""
        until, answers = now - self._window_ms, self._answers
        if answers.oldest_at is None or answers.oldest_at > until:
            return  # who has an open window has its first answer
        closing = self._closing
        while closing and closing[0].since <= until:
            user = closing.popleft()
            if user.is_open:
                self.enter(user.user_id)
                found = user.user_id, user.outcomes, user.exposures, user.since, user.lead
                self._found.closings.append(Closing(*found))
        while answers.oldest_at is not None and answers.oldest_at <= until:
            user, place = answers.drop_oldest()
            if user.credited is not None:
                user.credited.pop(place, None)
            if user.latest == NOWHERE:
                self._users[user.user_id] = None

    def collect(self) -> Joined:
        """Return what was found since the last call."""
        found, self._found = self._found, Joined([], [])
        return found
