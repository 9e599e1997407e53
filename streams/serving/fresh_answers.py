"""Recommending through a sight: each user by what he has done since the version's snapshot, too.

Pure. Answers, and the shadow that is compared with them, look through the same sight. A user's
vector is solved for once, and kept until he does something else.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.answers.because import add_because
from registry.answers.recommendation import Recommendation
from registry.fold_in.fresh_vectors import FreshVector, FreshVectors
from registry.fold_in.merged_cells import UserEvents
from registry.fold_in.session_events import session_events
from registry.fresh.fresh_forgetting import NOTHING_FRESH
from registry.fresh.fresh_sight import FOLD_IN_LEAST, FreshSight
from registry.fresh.version_window import FreshUser, VersionWindow
from registry.ids import UserId
from registry.new_items.overlaid_lists import KnownList, new_in_lists
from registry.new_items.overlay import Overlay, joined
from registry.versions.model import Model
from registry.versions.request_narrowing import rows_of
from registry.wire.requests import Request
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.event_weights import undo_targets


def recommend_seeing(
    model: Model,
    requests: Sequence[Request],
    sight: FreshSight | None,
    threads: int = 1,
    compared: Set[str] = frozenset(),
) -> list[Recommendation]:
    """Return one recommendation per request, in their order; without a sight nothing is fresh.

    Parameters
    ----------
    model
        The version that answers.
    requests
        Any number.
    sight
        What users did since.
    threads
        As of :meth:`registry.versions.model.Model.recommend`.
    compared
        Versions that are compared: a user of whom something is fresh for one of them is treated
        alike by all.
    """
    if all(request.is_plain for request in requests):
        fresh = _fresh_of(model, requests, sight, compared)
        found = model.recommend(requests, threads=threads, fresh=fresh)
        return _with_new_items(model, requests, fresh, found, sight)
    plain = [request for request in requests if request.is_plain]
    of_plain = iter(_fresh_of(model, plain, sight, compared) or repeat(None))
    sessions = [
        _Session(next(of_plain), None)
        if request.is_plain
        else _session_of(model, request, sight, compared)
        for request in requests
    ]
    fresh = [session.user for session in sessions]
    found = model.recommend(requests, threads=threads, fresh=fresh)
    found = _with_new_items(model, requests, fresh, found, sight)
    overlay = None if sight is None else sight.overlays.get(model.version)
    return [
        _explained(model, session.made, answer, overlay) if request.explain else answer
        for request, session, answer in zip(requests, sessions, found, strict=True)
    ]


def _with_new_items(
    model: Model,
    requests: Sequence[Request],
    fresh: Sequence[FreshUser | None],
    found: list[Recommendation],
    sight: FreshSight | None,
) -> list[Recommendation]:
    """Return the lists with the new items of the version's overlay that belong there."""
    overlay = None if sight is None else sight.overlays.get(model.version)
    if sight is None or overlay is None:
        return found
    window = sight.window(model.version)
    vectors = model.vectors_of(requests, fresh)
    scores = [answer.scores for answer in found]
    new = new_in_lists(
        list(map(KnownList, requests, vectors, scores)),
        overlay,
        sight.most_new,
        (lambda _: set()) if window is None else window.seen_unknown,
        model.withdrawals.item_ids,
    )
    for place, items in new.items():  # few: an answer's items are values only where they must be
        answer = found[place]
        whole = joined(answer.items, items, requests[place].k)
        found[place] = answer._replace(whole_items=whole)
    return found


def _fresh_of(
    model: Model, requests: Sequence[Request], sight: FreshSight | None, compared: Set[str]
) -> Sequence[FreshUser | None]:
    """Return what is fresh of the user of each plain request; empty: nothing of any."""
    if sight is None:
        return ()
    user_ids = [request.key for request in requests]
    fresh = sight.users(model.version, user_ids)
    window = sight.window(model.version)
    if window is None or model.fresh_vectors is None:
        return fresh
    others = [
        [user is not None for user in users]
        for version in compared - {model.version}
        if (users := sight.users(version, user_ids))
    ]
    alike = list(map(any, zip(*others, strict=True))) or [False] * len(user_ids)
    if not any(fresh) and not any(alike):
        return fresh
    return _ranked(model, model.fresh_vectors, window, sight.fold_in_least, user_ids, fresh, alike)


class _Session(NamedTuple):
    """What is fresh of who asks, and all that he did with its weights; None: not known."""

    user: FreshUser | None
    made: FreshVector | None


def _session_of(
    model: Model, request: Request, sight: FreshSight | None, compared: Set[str]
) -> _Session:
    """Return what is made of all that a user did, of what he does in this session, or of both."""
    window = sight.window(model.version) if sight is not None else None
    user_id, vectors = request.user_id, model.fresh_vectors
    lately = None if window is None or user_id is None else window.user(user_id)
    in_session = _session_rows(model, request)
    is_whole = window is None or user_id is None or window.is_whole(user_id)
    if vectors is None or not is_whole or request.like is not None:
        if lately is None:
            return _Session(FreshUser(seen=in_session), None)
        seen = np.concatenate((in_session, lately.seen))
        return _Session(FreshUser(lately.forgotten, seen), None)
    history = newest = NOTHING_FRESH
    if window is not None and user_id is not None:
        history = window.history(user_id, vectors.forgotten_until(user_id))
        newest = window.newest(history)
    row, is_learned = model.known_users.learned_row(user_id)
    user, whole = (
        UserEvents(row, some._replace(events=some.events + session_events(request)))
        for some in (newest, history)
    )
    least = sight.fold_in_least if sight is not None else FOLD_IN_LEAST
    alike = _is_fresh_for_any(sight, user_id, compared - {model.version})
    (made,) = vectors.of([user], [is_learned], 1 if request.items else least, [alike])
    all_seen = made.seen if newest is history else vectors.seen(whole)
    seen = np.concatenate((in_session, all_seen))
    return _Session(
        FreshUser(history.forgotten, seen, made.source, made.vector, is_all_seen=True), made
    )


def _explained(
    model: Model, made: FreshVector | None, found: Recommendation, overlay: Overlay | None
) -> Recommendation:
    """Return an answer with what each item comes from, if a vector ranks it."""
    vectors = model.fresh_vectors
    if made is None or vectors is None or found.source == "popular" or found.is_empty:
        return found
    items = found.items
    targets = np.empty((len(items), model.arrays.item_factors.shape[1]), np.float32)
    is_new = np.array([item.vector_offset is not None for item in items])
    known = [model.row_of(item.item_id) for item in items if item.vector_offset is None]
    targets[~is_new] = model.arrays.item_factors[np.array(known, np.int32)]
    if overlay is not None and is_new.any():
        new = [item.item_id for item in items if item.vector_offset is not None]
        targets[is_new] = overlay.vectors_of(new)
    contributions = vectors.because(made, targets)
    return found._replace(whole_items=add_because(items, model.texts, made.seen, contributions))


def _session_rows(model: Model, request: Request) -> NDArray[np.int32]:
    """Return the rows of the items of this session, without those that it takes back."""
    undoes = undo_targets(model.manifest.parameters.weights)
    items = [item.item_id for item in request.items or () if item.event not in undoes]
    return rows_of(items, model.row_of)


def _is_fresh_for_any(sight: FreshSight | None, user_id: UserId | None, versions: Set[str]) -> bool:
    if sight is None or user_id is None:
        return False
    return any(
        users != [None] for version in versions if (users := sight.users(version, [user_id]))
    )


def named_in(acting: RolloutState | None) -> set[str]:
    """Return the versions that a state names, which are compared as soon as there are two."""
    named = {acting.primary_version, acting.canary_version} if acting else set()
    return {version for version in named if version is not None}


def _ranked(
    model: Model,
    vectors: FreshVectors,
    window: VersionWindow,
    fold_in_least: int,
    user_ids: Sequence[UserId],
    fresh: Sequence[FreshUser | None],
    alike: Sequence[bool],
) -> list[FreshUser | None]:
    """Return what is fresh of each user, with what ranks his items."""
    found = list(fresh)
    unsolved: dict[UserId, tuple[int, ...]] = {}
    for place, user_id in enumerate(user_ids):
        # of whom no more is left than what he has seen, no vector could be made of all that he did
        if (fresh[place] is not None or alike[place]) and window.is_whole(user_id):
            mark = (*window.mark(user_id), alike[place])
            found[place] = model.vector_cache.of(user_id, mark)
            if found[place] is None:
                unsolved[user_id] = mark
    if unsolved:
        solved = _solved(model, vectors, window, fold_in_least, unsolved)
        found = [solved.get(user_id, user) for user_id, user in zip(user_ids, found, strict=True)]
    return found


def _solved(
    model: Model,
    vectors: FreshVectors,
    window: VersionWindow,
    fold_in_least: int,
    marks: dict[UserId, tuple[int, ...]],
) -> dict[UserId, FreshUser]:
    rows = [model.known_users.learned_row(user_id) for user_id in marks]
    histories = [window.history(user_id, vectors.forgotten_until(user_id)) for user_id in marks]
    users = [
        UserEvents(row, window.newest(history))
        for history, (row, _) in zip(histories, rows, strict=True)
    ]
    alike = [bool(mark[-1]) for mark in marks.values()]
    made = vectors.of(users, [known for _, known in rows], fold_in_least, alike)
    found = {
        user_id: FreshUser(
            history.forgotten,
            vector.seen
            if user.history is history
            else vectors.seen(user._replace(history=history)),
            vector.source,
            vector.vector,
            is_all_seen=True,
        )
        for user_id, history, user, vector in zip(marks, histories, users, made, strict=True)
    }
    for user_id, user in found.items():
        model.vector_cache.keep(user_id, marks[user_id], user)
    return found
