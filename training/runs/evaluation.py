"""The evaluation of a trial: beside popularity, item neighbours and the incumbent.

Knows how each is judged; must not know the gate, Kafka, the lock or the store.

**The incumbent** is judged by its served factors, on held-out interactions that are new to it: then
neither model has learned from them. This needs enough of them: `FEWEST_NEWER` users, and an
interval that decides or is no wider than the tolerance. A rerun on the same interactions has none.
Then the incumbent's *recipe* is judged: its parameters, fitted on the same older part. Its
published factors cannot be used there: they have learned the held-out interactions, and would win
by memory. The gate's check says which of the two was used.
"""

from __future__ import annotations

from registry.versions.manifest import Parameters
from training.data.cell_weights import weights
from training.data.matrix import Factors, csr
from training.fitting.neighbours import BASELINES, fit_neighbours
from training.judging.findings import Evaluation, HeldOut
from training.judging.holdout import Split, unknown_to
from training.judging.incumbent_basis import comparison_tells, may_be_judged_as_served
from training.judging.quality_estimates import Basis, measure
from training.judging.ranking_metrics import Judgement, by_factors, by_popularity, judge
from training.runs.learning_case import Case


def evaluate(case: Case, halves: Split, trial: Factors) -> Evaluation | None:
    """Judge the trial beside popularity and, if there is one, the incumbent."""
    published, incumbent, tolerance = case.published, case.incumbent, case.rules.limits.tolerance
    if published is not None:
        newer = unknown_to(published.known, published.knows, halves, case.cells, case.weight)
        if may_be_judged_as_served(newer):
            served = judge(published.score, newer)
            found = _side_by_side(case, trial, newer, served, "published")
            if found is not None and comparison_tells(found.quality, tolerance):
                return found
    recipe = None if incumbent is None else _judge_recipe(incumbent.parameters, case, halves, trial)
    basis: Basis | None = None if incumbent is None else "recipe"
    return _side_by_side(case, trial, halves, recipe, basis)


def _side_by_side(
    case: Case, trial: Factors, by: Split, rival: Judgement | None, basis: Basis | None
) -> Evaluation | None:
    tolerance, threads = case.rules.limits.tolerance, case.rules.threads
    candidate, popular = judge(by_factors(trial), by), judge(by_popularity(by.popular), by)
    if candidate is None or popular is None:
        return None
    found = {name: judge(fit_neighbours(name, by.older, threads), by) for name in BASELINES}
    baselines = {name: judgement for name, judgement in found.items() if judgement is not None}
    quality = measure(candidate, popular, rival, basis, tolerance, baselines, by.order)
    held_out = HeldOut(by.held, by.relevant, by.users, by.popular, by.order)
    return Evaluation(held_out, candidate, popular, rival, quality, baselines)


def _judge_recipe(
    parameters: Parameters, case: Case, halves: Split, trial: Factors
) -> Judgement | None:
    """Fit the incumbent's parameters on the older part, and judge that."""
    if parameters == case.parameters:
        return judge(by_factors(trial), halves)  # the same fit, by its seed
    weight = weights(case.cells, parameters)
    older = csr(case.cells, ~halves.held & (weight > 0), weight)

    def advance(done: int) -> None:
        case.journal.advance(done, parameters.iterations)

    return judge(by_factors(case.fit(older, parameters, case.rules.threads, advance)), halves)
