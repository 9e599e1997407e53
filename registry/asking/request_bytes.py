"""Records as they go over the wire, refused before they are sent if a worker would refuse them.

Pure.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.ids import LEAST_INTEGER, MOST_INTEGER, ItemId, UserId
from registry.wire.requests import Request, conflict_in
from registry.wire.training_records.interactions import Interaction, require_usable

Record = TypeVar("Record", bound=Struct)


def new_request_id() -> str:
    """Return an id that no other request has."""
    return str(uuid.uuid4())


def encode_request(request: Request, seconds: float) -> bytes:
    """Return `request` as JSON; its ``deadline_ms`` is `seconds` unless it has one.

    >>> encode_request(Request("r-1", 42, k=3), 2.0)[:42]
    b'{"request_id":"r-1","user_id":42,"k":3,"de'

    Raises
    ------
    RecordError
        If a worker would refuse it; the message names the field.
    """
    if request.deadline_ms is None:
        request = replace(request, deadline_ms=max(1, math.ceil(seconds * 1000)))
    payload, request = _checked(request)
    conflict = conflict_in(request)
    if conflict is not None:
        raise RecordError(f"Request: {conflict}", RecordCode.INVALID)
    for name, named in _ids(request):
        if isinstance(named, int) and not LEAST_INTEGER <= named <= MOST_INTEGER:
            raise RecordError(
                f"Request: {name} {named}, must have 64 bits", RecordCode.OUT_OF_RANGE
            )
    return payload


def encode_interaction(interaction: Interaction, now: float) -> bytes:
    """Return `interaction` as JSON; `now` is in seconds since the epoch.

    >>> encode_interaction(Interaction(user_id="anna", item_id=7, event="watch"), 1.8e9)
    b'{"user_id":"anna","item_id":7,"event":"watch"}'

    Raises
    ------
    RecordError
        If it cannot be used; the message names the field.
    """
    payload, interaction = _checked(interaction)
    for name in ("value", "timestamp"):
        number = getattr(interaction, name)
        if number is not None and not math.isfinite(number):  # JSON would have null
            raise RecordError(f"Interaction: {name} is {number}", RecordCode.INVALID)
    require_usable(interaction, now)
    return payload


def _ids(request: Request) -> Iterator[tuple[str, UserId | ItemId]]:
    if request.user_id is not None:
        yield "user_id", request.user_id
    for name in ("exclude_items", "candidates", "like"):
        for item_id in getattr(request, name) or ():
            yield name, item_id
    for item in request.items or ():
        yield "items", item.item_id


def _checked(record: Record) -> tuple[bytes, Record]:
    """Return `record` as JSON, and with the types of its fields: a dict may stand for a record."""
    try:
        typed = msgspec.convert(msgspec.to_builtins(record), type(record))
        payload = msgspec.json.encode(typed)
    except (msgspec.MsgspecError, UnicodeError, TypeError, OverflowError) as error:
        raise RecordError(f"{type(record).__name__}: {error}", RecordCode.INVALID) from error
    return payload, typed
