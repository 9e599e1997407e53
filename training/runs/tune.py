"""The search for better parameters, on one snapshot.

Knows what is varied and how it is judged; must not know Kafka, nor how a result is shown. The only
module that uses `optuna`, a separate extra (``tune``).

1. The gate's held-out part, each user's newest interactions, is set aside.
2. The rest is split in the same way, and each trial is judged by NDCG@10 on *its* newest part: the
  best of many trials is partly luck, so the final comparison needs other interactions.
3. The first trial uses the current parameters; the next ones come from Optuna's TPE sampler.
4. Finally, the best parameters and the current ones are fitted on everything except the part set
  aside, and compared on it.

Every trial is in the study's file as soon as it has finished, so a stopped search continues where
it was. A trial is identified by everything that it depends on.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import structs

from registry.error_codes import TrainingCode
from registry.errors import ConfigurationError, TrainingFailed
from registry.versions.manifest import Order, Parameters, digest
from registry.wire.training_records.event_weights import spell_event_weights
from training.data.cell_weights import weights
from training.data.matrix import Cells, csr, only
from training.fitting.als import Fit
from training.judging.holdout import Split, split
from training.judging.quality_estimates import Estimate, Quality, measure
from training.judging.ranking_metrics import Judgement, by_factors, by_popularity, judge
from training.runs.search_space import SPACE, SearchSpace, space_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial that has ended. ``ndcg`` is None if its fit failed."""

    number: int
    parameters: Parameters
    ndcg: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class SearchBounds:
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
        The best parameters, beside the current ones as the incumbent, on the part set aside.
    worth
        By name of what changed: NDCG@10 of the best parameters minus that of the same with the
        current value of it, on the part set aside.
    present, chosen
        Value of what is varied, by name: now, and of the best parameters.
    """

    best: Parameters
    trials: tuple[Trial, ...]
    quality: Quality
    worth: Mapping[str, Estimate]
    present: Mapping[str, Any]
    chosen: Mapping[str, Any]


Report: TypeAlias = Callable[[Trial, Trial | None], None]
"""Called with each trial that has ended, and the best one so far; None before there is one."""

OLDER_SPELLINGS: Final = ("RETRAIN_WEIGHT_WATCH", "RETRAIN_WEIGHT_CLICK", "RETRAIN_RATING_FLOOR")
"""Settings that do not go with ``RETRAIN_EVENT_WEIGHTS``."""


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
    bounds: SearchBounds,
    study_file: Path,
    fit: Fit,
    threads: int,
    report: Report,
    order: Order = "time",
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
    order
        In which order of each user's interactions the last ones are held out.

    Raises
    ------
    TrainingFailed
        ``no_data`` if no user can be judged, or no trial has ended.
    """
    outer = split(cells, weights(cells, start), holdout, order, start.seed)
    inner_cells = only(cells, ~outer.held)
    inner = split(inner_cells, weights(inner_cells, start), holdout, order, start.seed)
    if not len(inner.users) or not len(outer.users):
        raise TrainingFailed(
            "no user has enough interactions for the evaluation", TrainingCode.NO_DATA
        )
    space = space_of(cells, start)
    study = _study(study_file, _study_name(snapshot_id, space, holdout, order), space)

    def fitted(on: Cells, by: Split, parameters: Parameters) -> Judgement:
        weight = weights(on, parameters)
        older = csr(on, ~by.held & (weight > 0), weight)
        found = judge(by_factors(fit(older, parameters, threads, lambda _: None)), by)
        assert found is not None  # there are users
        return found

    study.optimize(
        lambda trial: fitted(inner_cells, inner, space.ask(trial)).metrics.ndcg,
        n_trials=max(0, bounds.trials - len(_ended(study, space))),
        timeout=bounds.seconds,
        catch=(TrainingFailed,),
        callbacks=[lambda _, ended: report(_trial(ended, space), best_of(_ended(study, space)))],
    )
    trials = _ended(study, space)
    best = best_of(trials)
    if best is None:
        raise TrainingFailed(
            "no trial finished with a result; allow more time", TrainingCode.NO_DATA
        )
    return _compared(best.parameters, trials, space, outer, partial(fitted, cells, outer))


def best_of(trials: tuple[Trial, ...]) -> Trial | None:
    """Return the trial with the highest NDCG@10, of equal ones the first; None if none has one."""
    judged = [trial for trial in trials if trial.ndcg is not None]
    return max(judged, key=lambda trial: (trial.ndcg, -trial.number), default=None)


def env_lines(parameters: Parameters) -> dict[str, str]:
    """Return the settings by environment variable.

    >>> env_lines(Parameters(64, 15, 0.25, 2.0, 42))["RETRAIN_REGULARIZATION"]
    '0.25'
    """
    numbers = {f"RETRAIN_{name.upper()}": f"{getattr(parameters, name):g}" for name in SPACE}
    return numbers | {"RETRAIN_EVENT_WEIGHTS": spell_event_weights(parameters.weights)}


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
        if name in OLDER_SPELLINGS and "RETRAIN_EVENT_WEIGHTS" in lines:
            continue
        out.append(f"{name}={left.pop(name)}" if name in left else line)
    return "\n".join([*out, *(f"{name}={value}" for name, value in left.items())]) + "\n"


def _study(file: Path, name: str, space: SearchSpace) -> Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True
    )
    # a search that continues must not draw the first random trials again
    study.sampler = optuna.samplers.TPESampler(seed=space.start.seed + len(study.trials))
    if not study.trials:
        study.enqueue_trial(space.present)
    return study


def _study_name(snapshot_id: str, space: SearchSpace, holdout: float, order: Order) -> str:
    """Name what a trial's result depends on, but for what is varied."""
    given = structs.asdict(space.start) | {"event_weights": space.start.weights}
    fixed = {name: value for name, value in given.items() if name not in SPACE}
    varied = list(space.present)
    return f"{snapshot_id}-{digest(repr((fixed, holdout, order, SPACE, varied)).encode())[:12]}"


def _compared(
    best: Parameters,
    trials: tuple[Trial, ...],
    space: SearchSpace,
    by: Split,
    judged: Callable[[Parameters], Judgement],
) -> Tuned:
    """Compare the best parameters with the present ones, all at once and one by one."""
    popular = judge(by_popularity(by.popular), by)
    assert popular is not None  # there are users
    ours = judged(best)

    def over(other: Parameters) -> Quality:
        return measure(ours, popular, judged(other), "recipe", 0.0, order=by.order)

    worth = {
        name: over(space.without(best, name)).differences["incumbent"]["ndcg"]
        for name in space.changed(best)
    }
    return Tuned(best, trials, over(space.start), worth, space.present, space.of(best))


def _ended(study: Study, space: SearchSpace) -> tuple[Trial, ...]:
    return tuple(
        _trial(trial, space)
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and len(trial.params) == len(space.present)
    )


def _trial(trial: FrozenTrial, space: SearchSpace) -> Trial:
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    return Trial(trial.number, space.parameters(trial.params), trial.value, seconds)
