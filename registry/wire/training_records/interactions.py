"""Interactions: what users did (topic ``interactions``), the training set."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.ids import LEAST_INTEGER, MOST_INTEGER
from registry.wire.field_types import Id
from registry.wire.training_records.catalogue_items import TITLE_CHARACTERS
from registry.wire.training_records.event_weights import FORGET, KIND_PATTERN, LONGEST_KIND

LARGEST_VALUE: Final = 1e6
"""Larger values are refused: one of them would drown all others and overflow the fit's float32."""

FUTURE_SECONDS: Final = 86_400.0
"""An event may be later than its record by this much, for clocks that disagree. More is a mistake,
such as milliseconds; as the newest time of all, it would put all others out of the window."""

EventKind: TypeAlias = Annotated[str, Meta(pattern=KIND_PATTERN, max_length=LONGEST_KIND)]
"""``watch``, ``rate``, ``click``, ``forget``, or a kind of your own."""


class Interaction(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a user did (topic ``interactions``, keyed by user id).

    ``event`` is ``watch``, ``click``, ``rate``, or a kind of your own, which
    ``RETRAIN_EVENT_WEIGHTS`` gives a weight. ``value`` is a count or a strength, 1 if it is
    missing; that of a ``rate`` is the rating. ``timestamp`` is in seconds since the epoch, and
    falls back to the record's own. A ``forget`` removes everything that the user did before it, and
    needs no item. ``request_id`` names the answer that showed the item: then that one gets the
    credit for the outcome. One that is not a string names no answer; what the user did counts all
    the same, as it did before this field existed.
    """

    user_id: int | Id
    item_id: int | Id | None = None
    event: EventKind
    value: float | None = None
    timestamp: float | None = None
    title: Annotated[str, Meta(max_length=TITLE_CHARACTERS)] | None = None
    request_id: str | int | float | bool | None = None

    def __post_init__(self) -> None:
        if self.item_id is None and self.event != FORGET:
            raise RecordError(f"a {self.event} needs an `item_id`", RecordCode.INVALID)


def require_usable(event: Interaction, at: float) -> None:
    """Refuse an interaction that training cannot use.

    Parameters
    ----------
    event
        Of the right types.
    at
        Its record's own time, in seconds since the epoch.

    Raises
    ------
    RecordError
        ``no_rating`` for a `rate` without a value; ``out_of_range`` for a value beyond
        ±`LARGEST_VALUE`, an id beyond 64 bits, or a time that is later than the record's by more
        than `FUTURE_SECONDS`.
    """
    if event.value is None and event.event == "rate":
        raise RecordError(
            "Interaction: a rate event needs a value, the rating", RecordCode.NO_RATING
        )
    if event.value is not None and abs(event.value) > LARGEST_VALUE:
        raise RecordError(
            f"Interaction: value {event.value:g}, must be within ±{LARGEST_VALUE:g}",
            RecordCode.OUT_OF_RANGE,
        )
    for name, named in (("user_id", event.user_id), ("item_id", event.item_id)):
        if isinstance(named, int) and not LEAST_INTEGER <= named <= MOST_INTEGER:
            raise RecordError(
                f"Interaction: {name} {named}, must have 64 bits", RecordCode.OUT_OF_RANGE
            )
    if event.timestamp is not None and event.timestamp > at + FUTURE_SECONDS:
        raise RecordError(
            f"Interaction: timestamp {event.timestamp:g}, its record's is {at:g}; it must be in "
            f"seconds since 1970",
            RecordCode.OUT_OF_RANGE,
        )
