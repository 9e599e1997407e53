"""Shadow comparisons (topic ``shadow``): one request that both versions scored."""

from __future__ import annotations

from msgspec import Struct

from registry.ids import UserId
from registry.wire.instants import InstantField


class ShadowComparison(Struct, frozen=True, omit_defaults=True):
    """One request that both versions scored (topic ``shadow``, keyed by user id).

    Parameters
    ----------
    k
        Items compared: the request's, or as many as the primary gave.
    overlap
        Share of the primary's items that the canary version gives too, 0..1; 1 where both give
        none.
    rank_biased_overlap
        Agreement of the two rankings, the top weighing most, 0..1.
    score_shift
        Mean score of the canary's items minus that of the primary's; 0 where either gives none.
    primary_ms, canary_ms
        Scoring time per request of the batches in which each was scored.
    """

    request_id: str
    user_id: UserId
    environment: str
    rollout_epoch: int
    primary_version: str
    canary_version: str
    k: int
    overlap: float
    rank_biased_overlap: float
    score_shift: float
    primary_ms: float
    canary_ms: float
    worker: str
    at: InstantField
