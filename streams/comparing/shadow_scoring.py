"""Scores a chunk of answered requests by the canary version, and compares the two answers.

Runs in the shadow thread. Must not know when there is time for it (`streams.comparing.shadow`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from registry.answers.recommendation import Recommendation
from registry.errors import without_frames
from registry.fresh.fresh_sight import FreshSight
from registry.guardrails.histogram import bucket_counts
from registry.guardrails.overlap import compare
from registry.versions.model import Model
from registry.wire.counts import ShadowCounts, sum_shadows
from registry.wire.instants import Instant
from registry.wire.responses import Item
from registry.wire.shadow_comparisons import ShadowComparison
from streams.serving.batch_results import Origin, Shadowed
from streams.serving.fresh_answers import recommend_seeing


class ScoredChunk(NamedTuple):
    """The result of a chunk: comparisons by their requests' keys, and one of its failures if
    any.
    """

    comparisons: list[tuple[bytes | None, ShadowComparison]]
    counts: ShadowCounts
    failure: Exception | None = None


def score_chunk(model: Model, chunk: Sequence[Shadowed], origin: Origin) -> ScoredChunk:
    """Score and compare `chunk`; where that fails, one by one, so that each harms only itself."""
    started = time.perf_counter()
    try:
        found = _recommend(model, chunk)
        seconds = (time.perf_counter() - started) / len(chunk)
        comparisons = [
            (sample.key, _comparison(sample, canary.items, seconds, origin))
            for sample, canary in zip(chunk, found, strict=True)
        ]
        return ScoredChunk(comparisons, _counts_of([comparison for _, comparison in comparisons]))
    except Exception as error:  # the edge of a version on trial: whatever it raises is counted
        if len(chunk) == 1:
            return ScoredChunk([], ShadowCounts(failed=1), without_frames(error))
    singly = [score_chunk(model, [sample], origin) for sample in chunk]
    return ScoredChunk(
        [comparison for done in singly for comparison in done.comparisons],
        sum_shadows(done.counts for done in singly),
        next((done.failure for done in singly if done.failure), None),
    )


def _recommend(model: Model, chunk: Sequence[Shadowed]) -> list[Recommendation]:
    """Recommend to each what the answer's own sight shows; those of one batch have one."""
    return [
        recommendation
        for sight, samples in groupby(chunk, key=lambda sample: sample.sight)
        for recommendation in _recommend_alike(model, sight, list(samples))
    ]


def _recommend_alike(
    model: Model, sight: FreshSight | None, samples: Sequence[Shadowed]
) -> list[Recommendation]:
    requests = [sample.request for sample in samples]
    compared = {sample.primary_version for sample in samples}
    return recommend_seeing(model, requests, sight, compared=compared)


def _comparison(
    sample: Shadowed, canary: Sequence[Item], canary_seconds: float, origin: Origin
) -> ShadowComparison:
    compared = compare(sample.items, canary)
    return ShadowComparison(
        request_id=sample.request.request_id,
        user_id=sample.request.key,
        environment=origin.environment,
        rollout_epoch=sample.epoch,
        primary_version=sample.primary_version,
        canary_version=sample.canary_version,
        k=len(sample.items),
        overlap=compared.overlap,
        rank_biased_overlap=compared.rank_biased_overlap,
        score_shift=compared.score_shift,
        primary_ms=sample.primary_seconds * 1000,
        canary_ms=canary_seconds * 1000,
        worker=origin.worker,
        at=Instant.of(time.time()),
    )


def _counts_of(comparisons: Sequence[ShadowComparison]) -> ShadowCounts:
    return ShadowCounts(
        compared=len(comparisons),
        overlap=sum(comparison.overlap for comparison in comparisons),
        rank_biased_overlap=sum(comparison.rank_biased_overlap for comparison in comparisons),
        score_shift=sum(comparison.score_shift for comparison in comparisons),
        primary=bucket_counts(
            np.array([comparison.primary_ms / 1000 for comparison in comparisons])
        ),
        canary=bucket_counts(np.array([comparison.canary_ms / 1000 for comparison in comparisons])),
    )
