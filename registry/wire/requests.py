"""Requests: what an application asks (topic ``requests``), and the bounds of each field."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from registry.ids import ItemId
from registry.wire.field_types import Id

MAX_K: Final = 1000
"""Most items that one request may ask for; a larger `k` is refused."""


class Request(Struct, frozen=True):
    """One recommendation request (topic ``requests``, keyed by user id)."""

    request_id: Id
    user_id: int | Id
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = 10
    exclude_seen: bool = True
    exclude_items: list[ItemId] = []
    model_version: Id | None = None
    deadline_ms: Annotated[int, Meta(ge=1)] | None = None
