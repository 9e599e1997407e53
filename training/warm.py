"""Warm starts: whether a fit may begin with the incumbent's factors, and its first values then.

Pure NumPy: knows parameters, ids and factors; must not know the store, nor how a fit goes on.

**Nothing leaks into the evaluation.** Only the fit of what is published begins so. The trial model,
by which a run is judged, always begins at random: the incumbent has learned from most of what is
held out from it, and would tell. For the same reason nothing may live on that is gone: the
incumbent must have seen nothing that the training set has not. So what a user did before a `forget`
leaves no trace in any later version; and a version still knows no more than what it has seen, by
which it is judged as the next run's incumbent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from msgspec.structs import asdict, replace

from registry.manifest import ColdStart, Parameters, WarmStart
from training.fit import Fit, FitFrom
from training.incumbent import Incumbent, Published
from training.matrix import Csr, Factors

SCALE: Final = 0.01
"""Largest first value of a row that is drawn; `implicit`'s own."""

FREE: Final = ("iterations", "seed")
"""Parameters in which the incumbent may differ: they change the way to the minimum, not its place.
After a change of any other, a few iterations need not be enough."""


@dataclass(frozen=True, slots=True)
class Warming:
    """How a run warms its start, if it may.

    Parameters
    ----------
    iterations
        Of a fit that begins with the incumbent's factors.
    backend
        Name of what fits.
    fit
        What fits.
    """

    iterations: int
    backend: str
    fit: FitFrom


def start_of(
    warming: Warming,
    parameters: Parameters,
    incumbent: Incumbent | None,
    published: Published | None,
) -> WarmStart | ColdStart:
    """Decide where the fit begins.

    Parameters
    ----------
    warming
        What was asked for.
    parameters
        Of the run.
    incumbent, published
        The version that is served now, and its arrays in the rows of the training set; None without
        one, or if they cannot be read.
    """
    if incumbent is None:
        return ColdStart("there is no version to begin with")
    if published is None:
        return ColdStart(f"{incumbent.version} cannot be read: {incumbent.complaint}")
    if incumbent.backend != warming.backend:
        return ColdStart(
            f"{incumbent.version} was fitted by {incumbent.backend}, this run's is "
            f"{warming.backend}"
        )
    if other := _differences(incumbent.parameters, parameters):
        return ColdStart(f"{incumbent.version} was made with {other}")
    if published.gone:
        return ColdStart(
            f"{published.gone:,} of the {len(published.arrays.seen_items):,} user-item pairs that "
            f"{incumbent.version} has seen are not in the training set: forgotten, or filtered out"
        )
    return WarmStart(
        version=incumbent.version,
        digest=incumbent.digest,
        users=int(published.knows.sum()),
        items=int(published.knows_items.sum()),
        iterations=warming.iterations,
    )


@dataclass(frozen=True, slots=True)
class Beginning:
    """The fit of what is published: where it begins (None: nobody asked), by what, and with what.

    The iterations of its parameters are those that it does.
    """

    start: WarmStart | ColdStart | None
    fit: Fit
    parameters: Parameters


def beginning(
    fit: Fit,
    parameters: Parameters,
    warming: Warming | None,
    incumbent: Incumbent | None,
    published: Published | None,
) -> Beginning:
    """Return the fit of what is published; `fit` is that of a cold start."""
    if warming is None:
        return Beginning(None, fit, parameters)
    start = start_of(warming, parameters, incumbent, published)
    if published is None or isinstance(start, ColdStart):
        return Beginning(start, fit, parameters)
    return warm(warming.fit, parameters, start, published)


def warm(fit: FitFrom, parameters: Parameters, start: WarmStart, published: Published) -> Beginning:
    """Return the fit that begins with the factors of `published`, as `start` says."""
    shorter = replace(parameters, iterations=start.iterations)
    return Beginning(start, partial(_fit, fit, published), shorter)


def first_values(published: Published, parameters: Parameters) -> Factors:
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


def _fit(
    fit: FitFrom,
    published: Published,
    weights: Csr,
    parameters: Parameters,
    threads: int,
    advance: Callable[[int], None],
) -> Factors:
    return fit(weights, parameters, threads, advance, first_values(published, parameters))


def _differences(theirs: Parameters, ours: Parameters) -> str:
    """Return the parameters in which the incumbent differs, with its values and ours."""
    fixed = replace(theirs, **{name: getattr(ours, name) for name in FREE})
    told = asdict(ours)
    return ", ".join(
        f"{name}={value:g} (now {told[name]:g})"
        for name, value in asdict(fixed).items()
        if value != told[name]
    )
