"""A replay's figures on a terminal."""

from __future__ import annotations

from rich.table import Table

from ops.clients.replay_figures import ReplayFigures
from ops.views.terminal import pairs


def replay_table(found: ReplayFigures) -> Table:
    """Return the figures."""
    chosen, slower = found.chosen, found.times_slower
    rows = {
        "version": found.version,
        "requests": f"{found.compared:,} of {found.requests:,} replayed",
        "left out": f"{found.leaking:,} leak: earlier than what the version has learned from"
        if found.leaking
        else None,
        "items in common": f"{found.overlap:.1%}",
        "rank-biased overlap": f"{found.rank_biased_overlap:.3f}",
        "popular items": (
            f"{found.candidate_fallbacks:.1%}, recorded {found.recorded_fallbacks:.1%}"
        ),
        "refused": f"{found.candidate_refusals:.1%}, for labels that the version does not know"
        if found.candidate_refusals
        else None,
        "scoring": f"{found.scoring_ms:.2f} ms"
        + ("" if slower is None else f", {slower:.2f} times the recorded versions'"),
        "chosen later": f"{chosen.items:,} items, biased to the versions that showed them",
    }
    if chosen.kept_share is not None:
        rows["of these shown"] = f"{chosen.kept_share:.1%}"
        rows["median position"] = (
            "none" if chosen.candidate_position is None else f"{chosen.candidate_position:g}"
        ) + f", recorded {chosen.recorded_position:g}"
    return pairs(rows)
