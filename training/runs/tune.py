"""The search for better parameters, on one snapshot.

Knows what is varied and by what it is judged; must not know Kafka, nor how a result is shown. The
only module that uses `optuna`, an extra of its own (``tune``).

1. What the gate would judge by, each user's newest interactions, is put aside.
2. The rest is split in the same way, and each trial is judged by NDCG@10 on *its* newest part: the
   best of many trials is partly luck, and must not be lucky with what judges it in the end.
3. The first trial is the present parameters; the next ones come from Optuna's TPE sampler.
4. In the end the best parameters and the present ones are fitted on all but what was put aside, and
   compared on it.

Every trial is in the study's file as soon as it has ended, so a search that is stopped goes on
where it was: a trial is told by what it depends on, so that nothing else is taken for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import structs

from registry.error_codes import TrainingCode
from registry.errors import ConfigurationError, TrainingFailed
from registry.versions.manifest import Parameters, digest
from training.data.matrix import Cells, only, weights
from training.fitting.als import Fit
from training.judging.holdout import Split, split
from training.judging.quality_estimates import Quality, measure
from training.judging.ranking_metrics import Score, by_factors, by_popularity, judge

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as Asked

SPACE: Final[dict[str, tuple[float, float]]] = {
    "factors": (8, 256),
    "iterations": (5, 30),
    "regularization": (0.01, 100.0),
    "alpha": (0.05, 50.0),
}
"""Least and most of what is varied, evenly on a logarithmic scale; widened to hold the start."""

DIGITS: Final = 3
"""Significant digits of what is tried: what is written down is what was tried."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial that has ended. ``ndcg`` is None if its fit failed."""

    number: int
    parameters: Parameters
    ndcg: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a search ends, whichever comes first: trials of the whole study, seconds of this run."""

    trials: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found.

    Parameters
    ----------
    best
        The parameters of the best trial.
    trials
        All that have ended, in order, those of earlier runs included.
    quality
        The best parameters, beside the present ones as the incumbent, on what was put aside.
    """

    best: Parameters
    trials: tuple[Trial, ...]
    quality: Quality


Report: TypeAlias = Callable[[Trial, Trial | None], None]
"""Called with each trial that has ended, and the best one so far; None before there is one."""

Fitted: TypeAlias = Callable[[Split, Parameters], Score]


def require_optuna() -> None:
    """Refuse to begin without Optuna, before the interactions are read.

    Raises
    ------
    ConfigurationError
        If it is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigurationError(
            "tuning needs Optuna: pip install -e '.[tune]' in a checkout of recstream"
        )


def tune(
    cells: Cells,
    snapshot_id: str,
    start: Parameters,
    holdout: float,
    bounds: Bounds,
    study_file: Path,
    fit: Fit,
    threads: int,
    report: Report,
) -> Tuned:
    """Search, and compare the best with the start.

    Parameters
    ----------
    cells, snapshot_id
        The training set, and of which snapshot it is.
    start
        The present parameters; what is not varied is theirs.
    holdout
        Share of each user's interactions that is held out, twice.
    bounds
        When to end.
    study_file
        Where the trials are kept; made if it is missing.
    fit, threads
        What makes the factors.
    report
        Told of each trial.

    Raises
    ------
    TrainingFailed
        ``no_data`` if no user can be judged, or no trial has ended.
    """
    outer = split(cells, weights(cells, start), holdout)
    inner_cells = only(cells, ~outer.held)
    inner = split(inner_cells, weights(inner_cells, start), holdout)
    if not len(inner.users) or not len(outer.users):
        raise TrainingFailed(
            "no user has enough interactions to be judged by", TrainingCode.NO_DATA
        )
    study = _study(study_file, _study_name(snapshot_id, start, holdout), start)

    def fitted(by: Split, parameters: Parameters) -> Score:
        return by_factors(fit(by.older, parameters, threads, lambda _: None))

    study.optimize(
        lambda asked: _ndcg(_asked(asked, start), inner, fitted),
        n_trials=max(0, bounds.trials - len(_ended(study, start))),
        timeout=bounds.seconds,
        catch=(TrainingFailed,),
        callbacks=[lambda _, one: report(_told(one, start), best_of(_ended(study, start)))],
    )
    trials = _ended(study, start)
    best = best_of(trials)
    if best is None:
        raise TrainingFailed(
            "no trial has ended with a result; give it more time", TrainingCode.NO_DATA
        )
    return Tuned(best.parameters, trials, _compared(best.parameters, start, outer, fitted))


def best_of(trials: tuple[Trial, ...]) -> Trial | None:
    """Return the trial with the highest NDCG@10, of equal ones the first; None if none has one."""
    judged = [one for one in trials if one.ndcg is not None]
    return max(judged, key=lambda one: (one.ndcg, -one.number), default=None)


def env_lines(parameters: Parameters) -> dict[str, str]:
    """Return the settings by environment variable.

    >>> env_lines(Parameters(64, 15, 0.25, 2.0, 42))["RETRAIN_REGULARIZATION"]
    '0.25'
    """
    return {f"RETRAIN_{name.upper()}": f"{getattr(parameters, name):g}" for name in SPACE}


def merged(text: str, lines: dict[str, str]) -> str:
    r"""Return the text of an ``.env`` file with `lines` in it, in the place of older ones.

    >>> print(merged("A=1\nB=2\n", {"B": "3", "C": "4"}), end="")
    A=1
    B=3
    C=4
    """
    left, out = dict(lines), []
    for line in text.splitlines():
        name = line.partition("=")[0].strip()
        out.append(f"{name}={left.pop(name)}" if name in left else line)
    return "\n".join([*out, *(f"{name}={value}" for name, value in left.items())]) + "\n"


def _study(file: Path, name: str, start: Parameters) -> Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True
    )
    # a search that goes on must not draw the first random trials again
    study.sampler = optuna.samplers.TPESampler(seed=start.seed + len(study.trials))
    if not study.trials:
        study.enqueue_trial({one: getattr(start, one) for one in SPACE})
    return study


def _study_name(snapshot_id: str, start: Parameters, holdout: float) -> str:
    """Name what a trial's result depends on, but for what is varied."""
    fixed = {name: value for name, value in structs.asdict(start).items() if name not in SPACE}
    return f"{snapshot_id}-{digest(repr((fixed, holdout, SPACE)).encode())[:12]}"


def _asked(asked: Asked, start: Parameters) -> Parameters:
    chosen: dict[str, float] = {}
    for name, (least, most) in SPACE.items():
        now = getattr(start, name)
        low, high = min(least, now), max(most, now)
        if isinstance(now, int):
            chosen[name] = asked.suggest_int(name, int(low), int(high), log=True)
        else:
            chosen[name] = asked.suggest_float(name, low, high, log=True)
    return _parameters(chosen, start)


def _parameters(chosen: dict[str, float], start: Parameters) -> Parameters:
    rounded = {
        name: value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")
        for name, value in chosen.items()
    }
    return structs.replace(start, **rounded)


def _ndcg(parameters: Parameters, by: Split, fitted: Fitted) -> float:
    found = judge(fitted(by, parameters), by)
    assert found is not None  # there are users
    return found.metrics.ndcg


def _compared(best: Parameters, start: Parameters, by: Split, fitted: Fitted) -> Quality:
    ours, theirs = (judge(fitted(by, one), by) for one in (best, start))
    popular = judge(by_popularity(by.popular), by)
    assert ours is not None  # there are users
    assert theirs is not None
    assert popular is not None
    return measure(ours, popular, theirs, "recipe", 0.0)


def _ended(study: Study, start: Parameters) -> tuple[Trial, ...]:
    return tuple(_told(one, start) for one in study.get_trials(deepcopy=False) if _has_ended(one))


def _has_ended(one: FrozenTrial) -> bool:
    return one.state.is_finished() and len(one.params) == len(SPACE)


def _told(one: FrozenTrial, start: Parameters) -> Trial:
    seconds = one.duration.total_seconds() if one.duration else 0.0
    return Trial(one.number, _parameters(dict(one.params), start), one.value, seconds)
