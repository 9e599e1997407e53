"""What the join reads of answers, and which of them are exposures of an experiment.

Pure. Reads the few fields that it needs: all of an answer takes twice as long. Must not know
what an answer gets the credit for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from registry.ids import ItemId, UserId
from registry.outcomes.attribution import Exposure
from registry.wire.field_types import ID_CHARACTERS, Variant
from registry.wire.requests import MAX_K
from registry.wire.responses import AnswerStatus


class _ShownItem(Struct, gc=False):
    item_id: ItemId
    variant: Variant | None = None


class _Rule(Struct, gc=False):
    environment: str
    rollout_epoch: int | None = None


class _ShownAnswer(Struct, gc=False):
    """Fields of `registry.wire.responses.Response`."""

    request_id: Annotated[str, Meta(max_length=ID_CHARACTERS)]
    user_id: UserId | None
    status: AnswerStatus
    provenance: _Rule
    items: Annotated[list[_ShownItem], Meta(max_length=MAX_K)] = []
    variant: Variant | None = None
    versions: dict[Variant, str] = {}


_decode: Final = msgspec.json.Decoder(_ShownAnswer).decode


class Shown(NamedTuple):
    """The exposures among some answers with their times, and how many could not be read."""

    exposures: list[tuple[int, Exposure]]
    unusable: int


def exposures_among(
    records: Iterable[tuple[int, bytes | None]], environment: str, epoch: int, *, interleaved: bool
) -> Shown:
    """Return what is an exposure of an experiment.

    It is none if it is an error, for nobody known, pinned to a version, or of another epoch.

    Parameters
    ----------
    records
        Of the response topic: time in milliseconds, and payload.
    environment, epoch
        Of the rollout state that is compared.
    interleaved
        Whether answers are of two versions; one that one of them made alone then counts for nobody.
    """
    found: list[tuple[int, Exposure]] = []
    unusable = 0
    for at, payload in records:
        try:
            answer = _decode(payload or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            unusable += 1
            continue
        rule, user, versions = answer.provenance, answer.user_id, answer.versions
        if (
            rule.rollout_epoch != epoch
            or rule.environment != environment
            or answer.status != "ok"
            or user is None
            or (answer.variant is None and not versions)
        ):
            continue
        items = tuple([item.item_id for item in answer.items])
        teams = tuple([item.variant for item in answer.items]) if versions else ()
        counts = bool(teams) or not interleaved
        found.append((at, Exposure(user, answer.request_id, items, teams, counts)))
    return Shown(found, unusable)
