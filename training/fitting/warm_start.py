"""Warm starts: whether a fit may start from given factors, from which, and its initial values.

Pure NumPy: knows parameters, ids and factors; must not know the store, nor how a fit continues.

**From the trial's.** The published model is fitted on all interactions, after the trial was fitted
on the older part of them with the same parameters. So it starts where the trial ended, and does a
few more iterations; :mod:`ops.bench.offline.warm_start_curves` measures how many are enough.

**From the incumbent's**, if requested. Removed interactions must leave no trace: the incumbent must
have seen nothing that is missing from the training set. So what a user did before a `forget` is in
no later version; and a version has learned no more than its list of seen items says, which the next
run relies on to judge it as the incumbent.

**Nothing leaks into the evaluation.** Only the published fit starts this way. The trial, by which a
run is judged, always starts at random, and is judged before its factors learn from the held-out
interactions. The incumbent has learned most of those, and would leak them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec.structs import replace

from registry.versions.manifest import ColdStart, Order, Parameters, Start, TrialStart, WarmStart
from training.data.matrix import Factors
from training.fitting.als import FitFrom
from training.judging.incumbent import Incumbent, IncumbentArrays

SCALE: Final = 0.01
"""Largest first value of a row that is drawn; `implicit`'s own."""

FREE: Final = ("iterations", "seed")
"""Parameters in which the incumbent may differ: they change the way to the minimum, not its place.
After a change of any other, a few iterations need not be enough."""

NEAR: Final = ("regularization", "alpha")
"""Parameters that follow the data unless they are set, and so move a little with every run."""

NEAR_SHARE: Final = 0.1
"""How far such a parameter may be from the incumbent's: the minimum is then almost at its place."""


@dataclass(frozen=True, slots=True)
class Warming:
    """What the fit of what is published may begin with.

    Parameters
    ----------
    iterations
        Of a fit that begins with the incumbent's factors; 0: none does.
    backend
        Name of what fits.
    fit
        What fits; None: it cannot begin with given factors.
    trial_iterations
        Of a fit that begins with the trial's, where none begins with the incumbent's; 0: none does.
    """

    iterations: int
    backend: str
    fit: FitFrom | None
    trial_iterations: int = 0


def start_of(
    warming: Warming,
    parameters: Parameters,
    incumbent: Incumbent | None,
    published: IncumbentArrays | None,
    holdout: float,
    order: Order = "time",
) -> Start | None:
    """Decide where the fit of what is published begins; None: at random, as was asked for.

    Parameters
    ----------
    warming
        What was asked for.
    parameters
        Of the run.
    incumbent, published
        The version that is served now, and its arrays in the rows of the training set; None without
        one, or if they cannot be read.
    holdout
        The share of each user's interactions that the trial does not learn from.
    order
        In which order they are held out.
    """
    if warming.fit is None:
        return ColdStart(f"{warming.backend}'s fit cannot start from given factors")
    served = None
    if warming.iterations:
        served = _from_incumbent(warming, parameters, incumbent, published)
    if isinstance(served, WarmStart) or not warming.trial_iterations:
        return served
    return TrialStart(holdout, warming.trial_iterations, served.reason if served else "", order)


def shortened(parameters: Parameters, start: Start | None) -> Parameters:
    """Return the parameters of a fit that begins there, with the iterations that it does."""
    if start is None or isinstance(start, ColdStart):
        return parameters
    return replace(parameters, iterations=start.iterations)


def first_values(published: IncumbentArrays, parameters: Parameters) -> Factors:
    """Return the incumbent's row of each id that it has learned, and a random one of the others.

    Parameters
    ----------
    published
        The incumbent in the rows of the training set.
    parameters
        Its seed draws the others, users before items: those that `implicit` would begin with.

    Returns
    -------
    float32, (users, factors) and (items, factors), of their own.
    """
    drawing = np.random.default_rng(parameters.seed)
    users, items = (
        drawing.random((len(rows), parameters.factors), dtype=np.float32) * SCALE
        for rows in (published.users, published.items)
    )
    for values, rows, known, learned in (
        (users, published.users, published.knows, published.arrays.user_factors),
        (items, published.items, published.knows_items, published.arrays.item_factors),
    ):
        values[known] = learned[rows[known]]
    return Factors(users, items)


def is_near(theirs: float, ours: float) -> bool:
    """Tell whether two values differ by at most `NEAR_SHARE` of ours.

    >>> is_near(9.1, 10.0), is_near(8.9, 10.0)
    (True, False)
    """
    return abs(theirs - ours) <= NEAR_SHARE * ours


def _from_incumbent(
    warming: Warming,
    parameters: Parameters,
    incumbent: Incumbent | None,
    published: IncumbentArrays | None,
) -> WarmStart | ColdStart:
    """Decide whether the fit begins with the incumbent's factors."""
    if incumbent is None:
        return ColdStart("there is no version to start from")
    if published is None:
        return ColdStart(f"{incumbent.version} cannot be read: {incumbent.complaint}")
    if incumbent.backend != warming.backend:
        return ColdStart(
            f"{incumbent.version} was fitted by {incumbent.backend}, this run's is "
            f"{warming.backend}"
        )
    if other := _differences(incumbent.parameters, parameters):
        return ColdStart(f"{incumbent.version} was trained with {other}")
    if published.gone:
        return ColdStart(
            f"{published.gone:,} of the {len(published.arrays.seen_items):,} user-item pairs that "
            f"{incumbent.version} has seen are no longer in the training set: forgotten, or "
            f"filtered out"
        )
    return WarmStart(
        version=incumbent.version,
        digest=incumbent.digest,
        users=int(published.knows.sum()),
        items=int(published.knows_items.sum()),
        iterations=warming.iterations,
    )


def _differences(theirs: Parameters, ours: Parameters) -> str:
    """Return the parameters in which the incumbent differs, with its values and ours."""
    free = (*FREE, *(name for name in NEAR if is_near(getattr(theirs, name), getattr(ours, name))))
    fixed = replace(theirs, **{name: getattr(ours, name) for name in free}).text_by_name
    now = ours.text_by_name
    return ", ".join(
        f"{name}={value} (now {now[name]})" for name, value in fixed.items() if value != now[name]
    )
