"""Side by side: what each version in memory would answer one user, and why.

Pure. For people who try a user: nothing is sent, counted or remembered. Must not know how it is
shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from registry.answers.recommendation import Recommendation
from registry.fold_in.fresh_vectors import FreshVector, FreshVectors
from registry.fold_in.merged_cells import UserEvents
from registry.fresh.fresh_forgetting import NOTHING_FRESH, FreshHistory
from registry.fresh.fresh_sight import FreshSight
from registry.fresh.version_window import NO_ROWS, FreshUser, ItemRows
from registry.ids import ItemId, UserId, VersionName
from registry.versions.model import Model
from registry.wire.field_types import Variant
from registry.wire.instants import Instant, InstantField
from registry.wire.requests import Request
from registry.wire.responses import FreshState, Item, Source
from registry.wire.rollout_state import RolloutState
from streams.serving.answering import Answering
from streams.serving.fresh_answers import named_in, recommend_seeing
from streams.serving.routing import route

OWN_SHOWN: Final = 30
"""Of the user's own items; many users have thousands."""

BECAUSE_SHOWN: Final = 3
"""Of the user's items that contribute to the first recommended one."""


class OwnItem(Struct, frozen=True):
    """An item that a user interacted with.

    ``fresh`` is whether he did so since the version's snapshot; ``at`` is when he did last, and
    ``weight`` what that counts, 0 if it taught nothing; both are null where the version keeps
    neither (format 1).
    """

    item_id: ItemId
    title: str | None
    fresh: bool
    at: InstantField | None = None
    weight: float | None = None


class Contribution(Struct, frozen=True):
    """How much one of a user's items adds to the score of the first recommended one."""

    item_id: ItemId
    title: str | None
    score: float


class VersionAnswer(Struct, frozen=True):
    """What one version would answer.

    ``role`` is ``primary``, ``canary`` or empty. ``known`` is whether the version learned from the
    user, ``forgotten`` whether a `forget` since has undone that. ``other_type`` is whether it knows
    his id with the other JSON type only. ``own`` are the latest of his ``own_total`` items;
    ``because`` are those that contribute most to the first of ``items``, if a vector ranks.
    ``fresh`` is how much this worker follows of what he did since; null: nothing, as configured.
    ``merges`` is whether that can change more than what is hidden from him (format 2).
    """

    version: str
    role: str
    source: Source
    items: tuple[Item, ...]
    known: bool
    forgotten: bool
    other_type: bool
    own: tuple[OwnItem, ...]
    own_total: int
    own_fresh: int
    merges: bool
    because: tuple[Contribution, ...] = ()
    fresh: FreshState | None = None


class SideBySide(Struct, frozen=True):
    """One user, and what each version in memory on one worker would answer him.

    ``assigned_version`` and ``variant`` are what the rollout gives him. ``fold_in_least`` is how
    many items that count a new user needs for a list of his own; null where nothing fresh is
    followed.
    """

    user_id: UserId
    worker: str
    assigned_version: str | None
    variant: Variant | None
    bucket: int | None
    fold_in_least: int | None
    versions: tuple[VersionAnswer, ...]

    @property
    def follows_fresh(self) -> bool:
        """Whether interactions since a version's snapshot count at all."""
        return self.fold_in_least is not None


class _Own(NamedTuple):
    """A user's items: rows, when, what they weigh (-inf and NaN: not known), and if fresh."""

    rows: ItemRows
    at: NDArray[np.float64]
    weight: NDArray[np.float32]
    fresh: NDArray[np.bool_]


def answer_side_by_side(
    user_id: UserId, k: int, using: Answering, partition: int | None
) -> SideBySide:
    """Return what each version would answer.

    Parameters
    ----------
    user_id, k
        Who, and how many items.
    using
        What this worker answers with.
    partition
        The partition of the user's requests; None: not known.
    """
    acting = using.rules.acting if using.rules else None
    way = route(user_id, using.rules) if using.rules else None
    roles = _roles(acting)
    request = Request("try", user_id, k=k)

    def rank(version: str) -> tuple[bool, bool, VersionName]:
        role = roles.get(version, "")
        return role == "primary", role == "canary", VersionName.parse(version)

    return SideBySide(
        user_id=user_id,
        worker=using.origin.worker,
        assigned_version=way.version if way else None,
        variant=way.variant if way else None,
        bucket=way.bucket if way else None,
        fold_in_least=using.sight.fold_in_least if using.sight else None,
        versions=tuple(
            _answer(using.models[name], roles.get(name, ""), request, using, partition)
            for name in sorted(using.models, key=rank, reverse=True)
        ),
    )


def _roles(acting: RolloutState | None) -> dict[str, str]:
    if acting is None:
        return {}
    roles = {acting.canary_version: "canary"} if acting.canary_version else {}
    return roles | {acting.primary_version: "primary"}


def _answer(
    model: Model, role: str, request: Request, using: Answering, partition: int | None
) -> VersionAnswer:
    acting, sight = using.rules.acting if using.rules else None, using.sight
    (found,) = recommend_seeing(model, [request], sight, compared=named_in(acting))
    (lately,) = (sight.users(model.version, [request.key]) if sight else ()) or (None,)
    own = _own(model, sight, request.key, lately or FreshUser())
    state: FreshState | None = None
    if sight is not None:
        state = "unknown" if partition is None else sight.fresh_state(model.version, partition)
    return VersionAnswer(
        version=model.version,
        role=role,
        source=found.source,
        items=tuple(found.items),
        known=model.known_users.learned_row(request.key)[1],
        forgotten=lately is not None and lately.forgotten,
        other_type=model.known_users.knows_other_type_of(request.key),
        own=_shown(model, own),
        own_total=len(own.rows),
        own_fresh=int(own.fresh.sum()),
        merges=model.fresh_vectors is not None,
        because=_because(model, own, found),
        fresh=state,
    )


def _own(model: Model, sight: FreshSight | None, user_id: UserId, lately: FreshUser) -> _Own:
    """Return a user's items, merged as his vector is; where that is not kept, the seen ones."""
    vectors = model.fresh_vectors
    if vectors is None:
        learned = NO_ROWS if lately.forgotten else model.known_users.seen_by(user_id)
        rows = np.union1d(learned, lately.seen).astype(np.int32)
        return _unweighed(rows, lately.seen)
    row, _ = model.known_users.learned_row(user_id)
    history = _history(vectors, model.version, sight, user_id)
    cells, weight = vectors.merged([UserEvents(row, history)])
    merged = _Own(cells.item, cells.time, weight, np.isin(cells.item, lately.seen))
    window = sight.window(model.version) if sight else None
    if window is None or window.is_whole(user_id):
        return merged
    packed = _unweighed(np.setdiff1d(lately.seen, cells.item).astype(np.int32), lately.seen)
    return _Own(
        np.concatenate((merged.rows, packed.rows)),
        np.concatenate((merged.at, packed.at)),
        np.concatenate((merged.weight, packed.weight)),
        np.concatenate((merged.fresh, packed.fresh)),
    )


def _history(
    vectors: FreshVectors, version: str, sight: FreshSight | None, user_id: UserId
) -> FreshHistory:
    until = vectors.forgotten_until(user_id)
    window = sight.window(version) if sight else None
    if window is None:
        return NOTHING_FRESH._replace(forgotten_until=until)
    return window.history(user_id, until)


def _unweighed(rows: ItemRows, fresh: ItemRows) -> _Own:
    return _Own(
        rows,
        np.full(len(rows), -np.inf),
        np.full(len(rows), np.nan, np.float32),
        np.isin(rows, fresh),
    )


def _shown(model: Model, own: _Own) -> tuple[OwnItem, ...]:
    """Return the latest of a user's items, the fresh ones first."""
    order = np.lexsort((-own.at, ~own.fresh))[:OWN_SHOWN]
    return tuple(
        OwnItem(
            *name,
            fresh=bool(own.fresh[place]),
            at=Instant.of(own.at[place]) if np.isfinite(own.at[place]) else None,
            weight=float(own.weight[place]) if np.isfinite(own.weight[place]) else None,
        )
        for place, name in zip(order, model.names_of(own.rows[order]), strict=True)
    )


def _because(model: Model, own: _Own, found: Recommendation) -> tuple[Contribution, ...]:
    """Return the items that contribute most to the first recommended one, the largest first."""
    vectors = model.fresh_vectors
    if vectors is None or found.source == "popular" or not found.items:
        return ()
    target = model.row_of(found.items[0].item_id)
    rows, weight = _taught(own)
    if target is None or not len(rows):
        return ()
    user = FreshVector("model", None, rows, weight)  # whatever ranked: the shares are the same
    scores = vectors.because(user, model.arrays.item_factors[[target]])[:, 0]
    most = np.argsort(-scores)[:BECAUSE_SHOWN]
    names: Sequence[tuple[ItemId, str | None]] = model.names_of(rows[most])
    return tuple(
        Contribution(*name, score=float(scores[place]))
        for place, name in zip(most, names, strict=True)
    )


def _taught(own: _Own) -> tuple[ItemRows, NDArray[np.float32]]:
    known = own.weight > 0  # not for NaN
    return own.rows[known], own.weight[known]
