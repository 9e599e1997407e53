"""Requests: what an application asks (topic ``requests``), and the bounds of each field."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.ids import ItemId, UserId
from registry.wire.field_types import Id
from registry.wire.training_records.event_weights import FORGET
from registry.wire.training_records.interactions import LARGEST_VALUE, EventKind
from registry.wire.training_records.label_limits import MOST_LABELS, LabelText, LabelValues

MAX_K: Final = 1000
"""Most items that one request may ask for; a larger `k` is refused."""

MOST_CANDIDATES: Final = 1000
MOST_LIKED: Final = 100
MOST_SESSION_ITEMS: Final = 200

Candidates: TypeAlias = Annotated[list[ItemId], Meta(min_length=1, max_length=MOST_CANDIDATES)]
LabelFilter: TypeAlias = Annotated[
    dict[LabelText, LabelValues], Meta(min_length=1, max_length=MOST_LABELS)
]


class SessionItem(Struct, frozen=True, omit_defaults=True):
    """What somebody does right now: an interaction that is on no topic, or not yet.

    ``event`` and ``value`` are those of an interaction; a kind without a weight has no effect.
    """

    item_id: ItemId
    event: EventKind = "watch"
    value: Annotated[float, Meta(ge=-LARGEST_VALUE, le=LARGEST_VALUE)] | None = None


class Request(Struct, frozen=True, omit_defaults=True):
    """One recommendation request (topic ``requests``, keyed by user id).

    Without ``user_id`` it is *anonymous*: it needs ``items`` or ``like``; it is keyed by, and
    assigned to a version by, its ``session_id``, or else its ``request_id``.

    ``items`` are what somebody does in this session: a vector is solved for from them, and from
    all that the user did, if there is one. ``like``: the answer is the items that are nearest to
    these, whoever asks. With ``explain``, each item says which of the user's own it comes from.

    ``candidates``: nothing but these items is ranked; those that the version does not know are left
    out, and the answer's provenance counts them. ``allow`` and ``exclude`` go by the labels that
    the version's items have: an item shows if it has, of each label of ``allow``, one of the
    values, and none of ``exclude``.
    """

    request_id: Id
    user_id: int | Id | None = None
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = 10
    exclude_seen: bool = True
    exclude_items: list[ItemId] = []
    model_version: Id | None = None
    deadline_ms: Annotated[int, Meta(ge=1)] | None = None
    candidates: Candidates | None = None
    allow: LabelFilter | None = None
    exclude: LabelFilter | None = None
    like: Annotated[list[ItemId], Meta(min_length=1, max_length=MOST_LIKED)] | None = None
    session_id: Id | None = None
    items: (
        Annotated[list[SessionItem], Meta(min_length=1, max_length=MOST_SESSION_ITEMS)] | None
    ) = None
    explain: bool = False

    def __post_init__(self) -> None:
        if self.user_id is None and not (self.items or self.like):
            raise RecordError("a request needs a `user_id`, `items` or `like`", RecordCode.INVALID)

    @property
    def key(self) -> UserId:
        """What it is keyed by, and assigned to a version by."""
        if self.user_id is not None:
            return self.user_id
        return self.request_id if self.session_id is None else self.session_id

    @property
    def users(self) -> frozenset[UserId]:
        """Whom it counts as a user of an arm: nobody, if it is anonymous."""
        return frozenset(() if self.user_id is None else (self.user_id,))

    @property
    def is_plain(self) -> bool:
        """Whether it asks for what is best for a known or an unknown user, and no more."""
        return self.user_id is not None and not (self.like or self.items or self.explain)

    @property
    def is_common(self) -> bool:
        """Whether it is plain, and narrows, pins and limits nothing: it cannot be refused."""
        return (
            self.user_id is not None
            and self.deadline_ms is None
            and self.model_version is None
            and self.candidates is None
            and self.allow is None
            and self.exclude is None
            and self.session_id is None
            and not (self.like or self.items or self.explain)
        )


def conflict_in(request: Request) -> str | None:
    """Return which fields of a request do not go together; None: they do.

    >>> conflict_in(Request("r-1", 42)), conflict_in(Request("r-1", 42, session_id="s-1"))
    (None, 'session_id is for requests without a user_id')
    """
    if request.is_plain and request.session_id is None:
        return None
    if request.user_id is not None and request.session_id is not None:
        return "session_id is for requests without a user_id"
    if request.like and request.items:
        return "like and items are two questions; ask them apart"
    if request.like and request.explain:
        return "explain is about the user's own items, which like does not use"
    return next(filter(None, map(_fault_of, request.items or ())), None)


def _fault_of(item: SessionItem) -> str | None:
    if item.event == FORGET:
        return "items holds a forget, which is for the interaction topic"
    if item.event == "rate" and item.value is None:
        return f"items: a rate of {item.item_id!r} needs a value, the rating"
    return None
