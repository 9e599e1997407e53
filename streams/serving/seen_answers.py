"""Recommending through a sight: each user by what he has done since the version's snapshot, too.

Pure. Answers, and the shadow that is compared with them, look through the same sight. A user's
vector is solved for once, and kept until he does something else.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from registry.fresh.fresh_sight import FreshSight
from registry.fresh.fresh_vectors import FreshVectors
from registry.fresh.merged_cells import UserEvents
from registry.fresh.version_window import FreshUser, VersionWindow
from registry.ids import UserId
from registry.versions.model import Model, Recommendation
from registry.wire.requests import Request
from registry.wire.rollout_state import RolloutState


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
    if sight is None:
        return model.recommend(requests, threads=threads)
    user_ids = [request.user_id for request in requests]
    fresh = sight.users(model.version, user_ids)
    window = sight.window(model.version)
    if window is not None and model.fresh_vectors is not None:
        others = [
            [user is not None for user in users]
            for version in compared - {model.version}
            if (users := sight.users(version, user_ids))
        ]
        alike = [any(users[place] for users in others) for place in range(len(user_ids))]
        fresh = _ranked(
            model, model.fresh_vectors, window, sight.fold_in_least, user_ids, fresh, alike
        )
    return model.recommend(requests, threads=threads, fresh=fresh)


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
    rows = [model.learned_row(user_id) for user_id in marks]
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
            else np.union1d(vector.seen, window.seen_in(history)),
            vector.source,
            vector.vector,
        )
        for user_id, history, user, vector in zip(marks, histories, users, made, strict=True)
    }
    for user_id, user in found.items():
        model.vector_cache.keep(user_id, marks[user_id], user)
    return found
