"""The guardrail ``min_overlap``: whether both versions name the same items, under `shadow`.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from registry.guardrails.evidence import (
    Sample,
    log_evidence_above,
    log_evidence_below,
    verdict_of,
)
from registry.guardrails.finding_text import (
    contradiction,
    enough_seen,
    evidence_figures,
    evidence_in_words,
    finite,
    no_data,
)
from registry.wire.counts import ShadowCounts
from registry.wire.ramp_values import Finding, Verdict


def judge_shadow(
    counts: ShadowCounts, *, min_overlap: float, alpha: float, min_compared: int
) -> tuple[Finding, ...]:
    """Return whether both versions name the same items often enough, off to the side.

    A comparison that failed counts as no overlap at all. A least overlap of 0 allows anything; one
    of 1 allows no single difference, and the same answers throughout are then taken as a pass.

    Parameters
    ----------
    counts
        Sums over the comparisons.
    min_overlap
        Least mean overlap, 0..1.
    alpha
        As in :func:`judge`.
    min_compared
        Least comparisons before anything is decided in the canary's favour.
    """
    seen = (counts.compared, counts.failed)
    if min(seen) < 0 or not 0 <= counts.overlap <= counts.compared:
        message = f"overlap {counts.overlap:g} of {counts.compared:,}, failed {counts.failed:,}"
        return (contradiction("min_overlap", message),)
    enough = enough_seen("min_compared", counts.compared, min_compared)
    if not sum(seen):
        return enough, no_data("min_overlap", "comparisons")
    return enough, _judge_overlap(Sample(counts.overlap, sum(seen)), counts, min_overlap, alpha)


def _judge_overlap(
    sample: Sample, counts: ShadowCounts, min_overlap: float, alpha: float
) -> Finding:
    below = log_evidence_below(sample, min_overlap)
    above = log_evidence_above(sample, min_overlap)
    if min_overlap == 0 or (min_overlap == 1 and sample.total == sample.count):
        verdict: Verdict = "pass"  # nothing could refute the one, nothing prove the other
    else:
        verdict = verdict_of(below, above, alpha)
    words: Mapping[Verdict, str] = {
        "fail": f"less than {min_overlap:g}",
        "pass": f"at least {min_overlap:g}",
        "inconclusive": f"not clear yet whether at least {min_overlap:g}",
    }
    message = (
        f"mean overlap {sample.mean:.3f} of {sample.count:,} ({counts.failed:,} failed, counted as "
        f"0): {words[verdict]} ({evidence_in_words(below, above, alpha)})"
    )
    figures = {
        "overlap": sample.mean,
        "min_overlap": min_overlap,
        "compared": float(counts.compared),
        "failed": float(counts.failed),
        **evidence_figures(below, above, alpha),
    }
    return Finding("min_overlap", verdict, message, finite(figures))
