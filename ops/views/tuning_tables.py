"""A parameter search as lines and tables, and a reproduced version as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.table import Table

from ops.views import terminal
from ops.views.terminal import Text
from registry.versions.manifest import Parameters
from registry.wire.training_records.event_weights import spell_event_weights
from training.judging.quality_estimates import Estimate, Quality
from training.runs.reproduce import Reproduction
from training.runs.search_space import SPACE
from training.runs.tune import Trial, Tuned, best_of

SHOWN_TRIALS: Final = 8


def tables(found: Tuned) -> list[Table | Text]:
    """Return the best trials, and how the winner compares with the current settings."""
    judged = [trial for trial in found.trials if trial.ndcg is not None]
    judged.sort(key=lambda trial: (-(trial.ndcg or 0), trial.number))
    rows = [
        (trial.number, f"{trial.ndcg:.4f}", *_values(trial.parameters), f"{trial.seconds:.1f}")
        for trial in judged[:SHOWN_TRIALS]
    ]
    numbers = (f"{name} #" for name in SPACE)
    columns = ("trial #", "NDCG@10 #", *numbers, "event weights", "seconds #")
    return [
        terminal.grid(columns, rows, title=f"the best of {len(found.trials)} trials"),
        *([_worth(found)] if found.worth else []),
        Text(verdict(found.quality)),
    ]


def _worth(found: Tuned) -> Table:
    """Return what each change is worth: the winner with it, over the same without it."""
    rows = [
        (name, found.present[name], found.chosen[name], f"{estimate:+.4f}")
        for name, estimate in found.worth.items()
    ]
    columns = ("changed", "now #", "best #", "worth, NDCG@10 #")
    return terminal.grid(columns, rows, title="what each change is worth")


def verdict(quality: Quality) -> str:
    """Return how good the winner is, on users that no trial has seen."""
    measured = f"NDCG@10 {_candidate(quality):.4f} for {quality.users} users that no trial saw"
    difference = quality.differences["incumbent"]["ndcg"]
    if difference.value == 0 and difference.bounds == (0, 0):
        return f"{measured}: the current settings are the best"
    sure = difference.bounds is not None and difference.bounds[0] > 0
    return f"{measured}: {difference:+.4f} over the current settings" + (
        "" if sure else "; not significant"
    )


def summary(found: Tuned, lines: Mapping[str, str]) -> dict[str, Any]:
    """Return the result of a search for JSON."""
    difference = found.quality.differences["incumbent"]["ndcg"]
    best = best_of(found.trials)
    return {
        "trials": len(found.trials),
        "best_trial": None if best is None else best.number,
        "settings": dict(lines),
        "users": found.quality.users,
        "metrics": found.quality.metrics,
        "worth": {
            name: {"ndcg_at_10": estimate.value, "interval": estimate.bounds}
            for name, estimate in found.worth.items()
        },
        "over_present_settings": {"ndcg_at_10": difference.value, "interval": difference.bounds},
    }


def reproduction_tables(found: Reproduction) -> list[Table | Text]:
    """Return the arrays with their differences, and the conclusion."""
    rows = [
        (
            name,
            "different" if name in found.different else "same",
            "different shape" if most is None else f"{most:.3g}",
        )
        for name, most in found.largest.items()
    ]
    others = [(name, "different", "") for name in found.different if name not in found.largest]
    version = found.manifest.version
    word = Text(f"{version} was reproduced bit for bit", "bold green")
    if not found.is_equal:
        origin = f"{found.manifest.git_sha[:12] or 'unknown code'} on {found.manifest.created_at}"
        word = Text(f"{version} could not be reproduced; it was trained by {origin}", "red")
    return [terminal.grid(("array", "verdict", "largest difference #"), [*rows, *others]), word]


def trial_line(trial: Trial, best: Trial | None) -> str:
    """Return how a trial went, and the best one so far."""
    score = "failed" if trial.ndcg is None else f"{trial.ndcg:.4f}"
    return f"trial {trial.number}: {score}" + (
        "" if best is None else f", best {best.ndcg:.4f} ({', '.join(_named(best.parameters))})"
    )


def _named(parameters: Parameters) -> list[str]:
    names = (*SPACE, "weights")
    return [f"{name} {value}" for name, value in zip(names, _values(parameters), strict=True)]


def _values(parameters: Parameters) -> list[str]:
    weights = spell_event_weights(parameters.weights)
    return [*(f"{getattr(parameters, name):g}" for name in SPACE), weights]


def _candidate(quality: Quality) -> Estimate:
    return Estimate(quality.candidate.ndcg, quality.intervals.get("ndcg_at_10"))
