"""Requests: what an application asks (topic ``requests``), and the bounds of each field."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from registry.ids import ItemId
from registry.wire.field_types import Id
from registry.wire.training_records.catalogue_items import MOST_LABELS, LabelText, LabelValues

MAX_K: Final = 1000
"""Most items that one request may ask for; a larger `k` is refused."""

MOST_CANDIDATES: Final = 1000

Candidates: TypeAlias = Annotated[list[ItemId], Meta(min_length=1, max_length=MOST_CANDIDATES)]
LabelFilter: TypeAlias = Annotated[
    dict[LabelText, LabelValues], Meta(min_length=1, max_length=MOST_LABELS)
]


class Request(Struct, frozen=True, omit_defaults=True):
    """One recommendation request (topic ``requests``, keyed by user id).

    ``candidates``: nothing but these items is ranked; those that the version does not know are left
    out, and the answer's provenance counts them. ``allow`` and ``exclude`` go by the labels that
    the version's items have: an item shows if it has, of each label of ``allow``, one of the
    values, and none of ``exclude``.
    """

    request_id: Id
    user_id: int | Id
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = 10
    exclude_seen: bool = True
    exclude_items: list[ItemId] = []
    model_version: Id | None = None
    deadline_ms: Annotated[int, Meta(ge=1)] | None = None
    candidates: Candidates | None = None
    allow: LabelFilter | None = None
    exclude: LabelFilter | None = None
