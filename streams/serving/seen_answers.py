"""Recommending through a sight: each user by what he has done since the version's snapshot, too.

Pure. Answers, and the shadow that is compared with them, look through the same sight.
"""

from __future__ import annotations

from collections.abc import Sequence

from registry.fresh.fresh_sight import FreshSight
from registry.versions.model import Model, Recommendation
from registry.wire.requests import Request


def recommend_seeing(
    model: Model, requests: Sequence[Request], sight: FreshSight | None, threads: int = 1
) -> list[Recommendation]:
    """Return one recommendation per request, in their order; without a sight nothing is fresh."""
    if sight is None:
        return model.recommend(requests, threads=threads)
    fresh = sight.users(model.version, [request.user_id for request in requests])
    return model.recommend(requests, threads=threads, fresh=fresh)
