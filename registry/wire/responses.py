"""Responses: what an application gets (topic ``responses``): items or an error, and provenance."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from registry.ids import ItemId, UserId
from registry.wire.field_types import AnswerError, Strategy, Variant

Source: TypeAlias = Literal["model", "recomputed", "fold_in", "similar", "popular"]
"""What ranked the items: the user's stored vector; one solved anew from all that he did, because
some of it is fresh; one for a user whom the version does not know; or the items' popularity."""

VectorSource: TypeAlias = Literal["model", "recomputed", "fold_in", "popular"]
"""What ranks the items of a user: a :data:`Source` without a reference item."""

AnswerStatus: TypeAlias = Literal["ok", "error", "expired"]
FreshState: TypeAlias = Literal["followed", "catching_up", "incomplete", "unknown"]
"""How much of what users did since a version's snapshot an answer knows: all that there was; a
part so far; a part, because the rest is gone from Kafka; nothing."""


class Because(Struct, frozen=True, omit_defaults=True):
    """One of the user's own items, and how much it adds to the score of a recommended one."""

    item_id: ItemId
    contribution: float
    title: str | None = None


class Item(Struct, frozen=True, omit_defaults=True):
    """One recommended item; ``score`` is the dot product of the factors, a popularity count, or,
    where ``like`` was asked for, the mean cosine. ``because``, where ``explain`` was: the three of
    the user's own items that add most to the score. ``vector_offset`` marks a new item, which the
    version does not know: where its vector is in the topic ``new-items``, partition 0. ``variant``,
    in an answer of two versions: the one whose item it is, and whose score; absent where neither
    gets the credit for it.
    """

    item_id: ItemId
    score: float
    title: str | None = None
    because: list[Because] = []
    vector_offset: int | None = None
    variant: Variant | None = None


class Provenance(Struct, frozen=True, omit_defaults=True):
    """Which rule and which bytes produced an answer.

    ``latency_ms`` is from the request record's timestamp to its scoring; absent where the timestamp
    is missing, or later than the worker's clock. ``fresh`` is how much of what its user did since
    the version's snapshot counted; absent where workers do not look (``RECSTREAM_FRESH=off``).
    Interactions before ``fresh_offsets`` did, by partition of the interaction topic, from the end
    of the version's snapshot on, or from ``fresh_from`` where that is later.
    ``withdrawn_items`` of the version's items could not be shown, by the records of the items topic
    below ``items_offset``; both are absent if it is none. Of the items that the request names in
    ``candidates``, ``like`` or ``items``, the version does not know ``unknown_items``.
    """

    environment: str
    worker: str
    latency_ms: float | None = None
    strategy: Strategy | None = None
    rollout_epoch: int | None = None
    bucket: int | None = None
    git_sha: str | None = None
    data_snapshot: str | None = None
    image_digest: str | None = None
    fresh: FreshState | None = None
    fresh_offsets: dict[str, int] = {}
    fresh_from: dict[str, int] = {}
    withdrawn_items: int | None = None
    items_offset: int | None = None
    unknown_items: int = 0


class Response(Struct, frozen=True, omit_defaults=True):
    """One answer (topic ``responses``, keyed as its request). ``user_id`` is null, and
    ``session_id`` the request's, if the request is anonymous.

    ``versions`` are both, by variant, where an answer mixes their lists (strategy ``interleave``):
    then ``model_version`` and ``variant`` are absent, ``source`` too unless both have the same one.
    """

    request_id: str
    user_id: UserId | None
    status: AnswerStatus
    provenance: Provenance
    items: list[Item] = []
    model_version: str | None = None
    variant: Variant | None = None
    source: Source | None = None
    assigned_version: str | None = None
    fallback_reason: str | None = None
    error: AnswerError | None = None
    session_id: str | None = None
    versions: dict[Variant, str] = {}

    @property
    def counted_as(self) -> str:
        """The variant that it counts as: ``mixed`` if two versions have made it, else its own."""
        return "mixed" if self.versions else self.variant or ""
