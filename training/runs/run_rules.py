"""What the settings require of a run: its parameters, and the rules by which it is judged.

Pure: knows settings and the data report; must not know how a run works.
"""

from __future__ import annotations

from registry.settings import Settings
from registry.versions.manifest import Parameters
from registry.wire.training_records.data_report import DataReport
from registry.wire.training_records.event_weights import EventWeight, EventWeights
from training.data.cells_from_rows import STANDARD_KINDS
from training.fitting.size_rules import BY_SIZE, SPARK
from training.judging.gate import GateLimits
from training.judging.holdout import order_of
from training.runs.learning_case import RunRules


def parameters_of(settings: Settings) -> Parameters:
    """Return the parameters that `settings` give a run.

    Transforms may still be ``auto``, and numbers `BY_SIZE`: the data settle both.
    """
    by_kind, follows = settings.event_weights, settings.train_backend == "implicit"
    return Parameters(
        factors=settings.retrain_factors or (BY_SIZE if follows else SPARK.factors),
        iterations=settings.retrain_iterations,
        regularization=settings.retrain_regularization
        or (BY_SIZE if follows else SPARK.regularization),
        alpha=settings.retrain_alpha or (BY_SIZE if follows else SPARK.alpha),
        seed=settings.retrain_seed,
        **older_weights(by_kind),
        window_days=settings.retrain_window_days,
        half_life_days=settings.retrain_half_life_days,
        min_user_interactions=settings.retrain_min_user_interactions,
        min_item_interactions=settings.retrain_min_item_interactions,
        event_weights=by_kind,
    )


def older_weights(by_kind: EventWeights) -> dict[str, float]:
    """Return the weights as the previous release names them, for its runs beside ours.

    >>> older_weights({"watch": EventWeight(2.0, "log"), "rate": EventWeight(1.0, floor=2.0)})
    {'weight_watch': 2.0, 'weight_click': 0.0, 'rating_floor': 2.0}
    """
    watch, click, rate = (by_kind.get(kind, EventWeight(0.0)) for kind in STANDARD_KINDS)
    return {
        "weight_watch": watch.weight,
        "weight_click": click.weight,
        "rating_floor": rate.floor,
    }


def rules_of(settings: Settings, report: DataReport) -> RunRules:
    """Return how `settings` have a run learn and judge from what there is."""
    limits = GateLimits(
        min_users=settings.retrain_min_users,
        min_items=settings.retrain_min_items,
        min_interactions=settings.retrain_min_interactions,
        tolerance=settings.retrain_tolerance,
        max_changed=settings.retrain_max_changed,
        max_missing_items=settings.retrain_max_missing_items,
        inconclusive=settings.retrain_inconclusive,
    )
    order = order_of(settings.retrain_split, report)
    return RunRules(limits, settings.retrain_holdout, settings.retrain_threads, order)
