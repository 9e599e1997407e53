"""Plausibility: whether a model is so far below item neighbours that something must be wrong. Pure.

Must not know how the baselines are fitted (`training.fitting.neighbours`).
"""

from __future__ import annotations

from registry.wire.training_records.gate_results import Check
from training.judging.gate import PLAUSIBLE
from training.judging.quality_estimates import PLAUSIBLE_SHARE, Quality


def check_plausibility(quality: Quality | None) -> Check:
    """Check that the model is not far below a simple baseline; that would have a cause to be found.

    Parameters
    ----------
    quality
        The evaluation; None if no user could be judged.

    Returns
    -------
    `inconclusive` if all of the interval is below `PLAUSIBLE_SHARE` of the best baseline's NDCG@10;
    never `fail`, because it does not say what is wrong. `pass` if there is no baseline.
    """
    if quality is None:
        return Check(PLAUSIBLE, "inconclusive", "no user could be judged", "an NDCG@10")
    if quality.strongest is None or quality.over_plausible is None:
        return Check(PLAUSIBLE, "pass", "not compared", "anything: no baseline")
    best = quality.baselines[quality.strongest].ndcg
    allowed = (
        f"at least {PLAUSIBLE_SHARE:.0%} of {best:.4f}, which item neighbours by "
        f"{quality.strongest} reach on the same split"
    )
    seen = f"NDCG@10 {quality.candidate.ndcg:.4f}"
    bounds = quality.over_plausible.bounds
    if bounds is not None and bounds[1] < 0:
        why = ": implausibly low; check the data report, and try `recstream tune`"
        return Check(PLAUSIBLE, "inconclusive", seen + why, allowed)
    return Check(PLAUSIBLE, "pass", seen, allowed)
