"""Interactions: what users did (topic ``interactions``), the training set."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from registry.wire.field_types import Id

EventKind: TypeAlias = Literal["watch", "rate", "click", "forget"]


class Interaction(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a user did (topic ``interactions``, keyed by user id).

    ``value`` is the rating of a ``rate`` event, or a weight of other events; ``timestamp`` is in
    seconds since the epoch, and falls back to the record's own. A ``forget`` takes back all that
    the user did before it, and needs no item.
    """

    user_id: int | Id
    item_id: int | Id | None = None
    event: EventKind
    value: float | None = None
    timestamp: float | None = None
    title: Annotated[str, Meta(max_length=500)] | None = None

    def __post_init__(self) -> None:
        if self.item_id is None and self.event != "forget":
            raise ValueError(f"a {self.event} needs an `item_id`")
