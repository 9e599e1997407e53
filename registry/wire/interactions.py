"""Interactions: what users did (topic ``interactions``), the training set."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from registry.wire.field_types import Id
from registry.wire.training_records.event_weights import FORGET, KIND_PATTERN, LONGEST_KIND

EventKind: TypeAlias = Annotated[str, Meta(pattern=KIND_PATTERN, max_length=LONGEST_KIND)]
"""``watch``, ``rate``, ``click``, ``forget``, or a kind of your own."""


class Interaction(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a user did (topic ``interactions``, keyed by user id).

    ``event`` is ``watch``, ``click``, ``rate``, or a kind of your own, which
    ``RETRAIN_EVENT_WEIGHTS`` gives a weight. ``value`` is a count or a strength, 1 if it is
    missing; that of a ``rate`` is the rating. ``timestamp`` is in seconds since the epoch, and
    falls back to the record's own. A ``forget`` takes back all that the user did before it, and
    needs no item.
    """

    user_id: int | Id
    item_id: int | Id | None = None
    event: EventKind
    value: float | None = None
    timestamp: float | None = None
    title: Annotated[str, Meta(max_length=500)] | None = None

    def __post_init__(self) -> None:
        if self.item_id is None and self.event != FORGET:
            raise ValueError(f"a {self.event} needs an `item_id`")
