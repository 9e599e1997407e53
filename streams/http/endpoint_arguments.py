"""What callers may say to the endpoints beside commands: queries, a form, and a body.

Types only, with their bounds. Which endpoint takes which is in `streams.http.endpoints`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from registry.kafka.audit_trail import MAX_LIMIT
from registry.wire.field_types import ID_CHARACTERS, Id
from registry.wire.requests import MAX_K, Request

LONGEST_MS: Final = 30_000
"""How long a caller of ``/recommend`` may wait for its answer; a connection is held meanwhile."""

WAIT_MS: Final = 5_000
"""How long it waits unless it says otherwise."""


MOST_TRIED: Final = 100
"""Items of an answer that somebody tries: for people to look at."""


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which commands; see `registry.kafka.audit_trail.TrailQuery`.

    Parameters
    ----------
    limit
        How many at most, the newest.
    since, until
        Bounds of the command's time, ISO 8601, UTC unless it says otherwise: ``since <= at <
        until``.
    type
        Types of command, comma separated.
    issued_by
        Who, exactly.
    """

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 50
    since: Annotated[str, Meta(max_length=40)] | UnsetType = UNSET
    until: Annotated[str, Meta(max_length=40)] | UnsetType = UNSET
    type: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    issued_by: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET


class LoginForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The form that the login page sends.

    Parameters
    ----------
    token
        The value of ``RECSTREAM_API_TOKEN`` or ``RECSTREAM_READ_TOKEN``.
    """

    token: str


class RecommendQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``GET /recommend/{user_id}`` may say beside the user; see `registry.wire.requests`.

    Parameters
    ----------
    string_id
        Take the id as a text, even if it is all digits.
    """

    k: Annotated[int, Meta(ge=1, le=MAX_K)] = 10
    exclude_seen: bool = True
    model_version: Id | None = None
    deadline_ms: Annotated[int, Meta(ge=1, le=LONGEST_MS)] = WAIT_MS
    string_id: bool = False


class TryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which user to try; his id is read as in ``GET /recommend/{user_id}``."""

    user_id: Id
    k: Annotated[int, Meta(ge=1, le=MOST_TRIED)] = 10
    string_id: bool = False


class TryPageQuery(TryQuery, frozen=True, forbid_unknown_fields=True):
    """The same for the page, which is a form as long as no user is given."""

    user_id: Annotated[str, Meta(max_length=ID_CHARACTERS)] = ""


def _request_body() -> type[Struct]:
    """Return `Request` as a body: its id may be absent, and its deadline has a bound."""
    own: dict[str, Any] = {
        "request_id": (Id | UnsetType, UNSET),
        "deadline_ms": (Annotated[int, Meta(ge=1, le=LONGEST_MS)], WAIT_MS),
    }
    return msgspec.defstruct(
        "RecommendBody",
        [
            (field.name, *own[field.name])
            if field.name in own
            else (field.name, field.type, *_default_of(field))
            for field in msgspec.structs.fields(Request)
        ],
        namespace={"__doc__": "A request, as on the request topic; ``request_id`` may be absent."},
        module=__name__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _default_of(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    if field.default_factory is not msgspec.NODEFAULT:
        return (msgspec.field(default_factory=field.default_factory),)
    return () if field.default is msgspec.NODEFAULT else (field.default,)


RecommendBody: Final = _request_body()
