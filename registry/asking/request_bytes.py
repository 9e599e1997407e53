"""Records as they go over the wire, refused before they are sent if a worker would refuse them.

Pure.
"""

from __future__ import annotations

import math
import uuid
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from registry.error_codes import RecordCode
from registry.errors import ConfigurationError, RecordError
from registry.wire.requests import Request, conflict_in
from registry.wire.training_records.interactions import Interaction, require_usable

Record = TypeVar("Record", bound=Struct)

_request: Final = msgspec.json.Decoder(Request)
_interaction: Final = msgspec.json.Decoder(Interaction)


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
    conflict = conflict_in(request)
    if conflict is not None:
        raise RecordError(f"Request: {conflict}", RecordCode.INVALID)
    if request.deadline_ms is None:
        request = replace(request, deadline_ms=max(1, math.ceil(seconds * 1000)))
    return _checked(request, _request)


def encode_interaction(interaction: Interaction, now: float) -> bytes:
    """Return `interaction` as JSON; `now` is in seconds since the epoch.

    >>> encode_interaction(Interaction(user_id="anna", item_id=7, event="watch"), 1.8e9)
    b'{"user_id":"anna","item_id":7,"event":"watch"}'

    Raises
    ------
    RecordError
        If it cannot be used; the message names the field.
    """
    payload = _checked(interaction, _interaction)
    for name in ("value", "timestamp"):
        number = getattr(interaction, name)
        if number is not None and not math.isfinite(number):  # JSON would have null
            raise RecordError(f"Interaction: {name} is {number}", RecordCode.INVALID)
    require_usable(interaction, now)
    return payload


def require_seconds(seconds: float) -> float:
    """Return a deadline; ConfigurationError unless it is above 0."""
    if not (0 < seconds < math.inf):
        raise ConfigurationError(f"deadline_seconds={seconds}: must be above 0, and finite")
    return seconds


def _checked(record: Record, decoder: msgspec.json.Decoder[Record]) -> bytes:
    try:
        payload = msgspec.json.encode(record)
        decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeError, TypeError, OverflowError) as error:
        raise RecordError(f"{type(record).__name__}: {error}", RecordCode.INVALID) from error
    return payload
