"""A search for parameters, and a version made again, as people see them.

Knows how they look and follows their progress; must not know how parameters are tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from ops.views import terminal
from ops.views.terminal import Text
from ops.views.training_progress import StageDisplay
from registry.settings import Settings
from registry.versions.manifest import Parameters
from training.data.matrix import trim
from training.data.snapshot import read_snapshot
from training.fitting.als import one_blas_thread
from training.fitting.backends import fit_of
from training.judging.quality_estimates import Estimate, Quality
from training.runs.reproduce import Reproduction
from training.runs.run import parameters_of
from training.runs.tune import SPACE, Bounds, Trial, Tuned, best_of, require_optuna, tune

SHOWN_TRIALS: Final = 8


def search(settings: Settings, trials: int, minutes: float, study: Path, *, hidden: bool) -> Tuned:
    """Read the interactions, and search, showing each trial on standard error."""
    require_optuna()
    start = parameters_of(settings)
    with StageDisplay(terminal.err, hidden=hidden) as display, one_blas_thread():
        snapshot = read_snapshot(
            settings, lambda done, total: display.show("snapshot", done, total, None)
        )
        display.show("tune", 0, trials, None)

        def report(one: Trial, best: Trial | None) -> None:
            display.show("tune", one.number + 1, trials, _progress(one, best))

        return tune(
            trim(snapshot.cells, start),
            snapshot.described.id,
            start,
            settings.retrain_holdout,
            Bounds(trials, minutes * 60),
            study,
            fit_of(settings),
            settings.retrain_threads,
            report,
        )


def tables(found: Tuned) -> list[Table | Text]:
    """Return the best trials, and the winner beside the present settings."""
    judged = [one for one in found.trials if one.ndcg is not None]
    judged.sort(key=lambda one: (-(one.ndcg or 0), one.number))
    rows = [
        (one.number, f"{one.ndcg:.4f}", *_values(one.parameters), f"{one.seconds:.1f}")
        for one in judged[:SHOWN_TRIALS]
    ]
    columns = ("trial #", "NDCG@10 #", *(f"{name} #" for name in SPACE), "seconds #")
    return [
        terminal.grid(columns, rows, title=f"the best of {len(found.trials)} trials"),
        Text(verdict(found.quality)),
    ]


def verdict(quality: Quality) -> str:
    """Say what the winner is worth, on what no trial has seen."""
    told = f"NDCG@10 {_candidate(quality):.4f} of {quality.users} users that no trial saw"
    difference = quality.differences["incumbent"]["ndcg"]
    if difference.value == 0 and difference.bounds == (0, 0):
        return f"{told}: the present settings are the best"
    sure = difference.bounds is not None and difference.bounds[0] > 0
    return f"{told}: {difference:+.4f} over the present settings" + (
        "" if sure else ": not shown to be better"
    )


def summary(found: Tuned, lines: Mapping[str, str]) -> dict[str, Any]:
    """Return a search for machines."""
    difference = found.quality.differences["incumbent"]["ndcg"]
    best = best_of(found.trials)
    return {
        "trials": len(found.trials),
        "best_trial": None if best is None else best.number,
        "settings": dict(lines),
        "users": found.quality.users,
        "metrics": found.quality.metrics,
        "over_present_settings": {"ndcg_at_10": difference.value, "interval": difference.bounds},
    }


def reproduction_tables(found: Reproduction) -> list[Table | Text]:
    """Return the arrays with their differences, and what that comes to."""
    rows = [
        (
            name,
            "different" if name in found.different else "the same",
            "other shape" if most is None else f"{most:.3g}",
        )
        for name, most in found.largest.items()
    ]
    others = [(name, "different", "") for name in found.different if name not in found.largest]
    version = found.manifest.version
    word = Text(f"{version} made again is the same, bit by bit", "bold green")
    if not found.is_equal:
        made = f"{found.manifest.git_sha[:12] or 'unknown code'} on {found.manifest.created_at}"
        word = Text(f"{version} made again is not the same; it was made by {made}", "red")
    return [terminal.grid(("array", "verdict", "largest difference #"), [*rows, *others]), word]


def _progress(one: Trial, best: Trial | None) -> str:
    told = "failed" if one.ndcg is None else f"{one.ndcg:.4f}"
    return f"trial {one.number}: {told}" + (
        "" if best is None else f", best {best.ndcg:.4f} ({', '.join(_named(best.parameters))})"
    )


def _named(parameters: Parameters) -> list[str]:
    return [f"{name} {value}" for name, value in zip(SPACE, _values(parameters), strict=True)]


def _values(parameters: Parameters) -> list[str]:
    return [f"{getattr(parameters, name):g}" for name in SPACE]


def _candidate(quality: Quality) -> Estimate:
    return Estimate(quality.candidate.ndcg, quality.intervals.get("ndcg_at_10"))
