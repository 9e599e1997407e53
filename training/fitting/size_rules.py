r"""Hyperparameters that follow the data: what a run uses if the settings leave them unset.

Pure NumPy: knows parameters and a matrix of weights; must not know settings, events or a backend.
docs/decisions/0010-factors-by-size.md has the figures behind each rule.

With n interactions of U users and I items, and weights w of mean :math:`\bar w` and root mean
square :math:`w_{rms}`:

- ``alpha`` :math:`= 1 / \bar w`: an interaction is worth, on average, as much as any other cell of
  the matrix, whatever unit the weights have. `implicit`'s loss is then close to
  :math:`\|R - X Y^\top\|^2 + \lambda (\|X\|^2 + \|Y\|^2)`, where R holds :math:`\alpha w`.
- ``regularization`` :math:`= 0.75\, \alpha w_{rms} (\sqrt{n / U} + \sqrt{n / I})`. The best factors
  of that loss are the singular vectors of R, each singular value less :math:`\lambda` (soft
  thresholding: Mazumder, Hastie, Tibshirani 2010). What stands in brackets is the largest singular
  value of a matrix of as many interactions at random (Gordon's bound for Gaussian noise), so
  :math:`\lambda` cuts off what chance would give.
- ``factors``: 128, halved down to 32 while both matrices together have more than 16,777,216 numbers
  (64 MB), and at most half of the users or items, whichever are fewer, in steps of 8.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from msgspec import structs

from registry.versions.manifest import Parameters
from training.data.matrix import Csr

SPARK: Final = Parameters(factors=32, iterations=15, regularization=3.0, alpha=1.0, seed=42)
"""What Spark uses instead. Its confidence is one more (:mod:`training.fitting.spark`), and with
what suits `implicit` its lists are worse: NDCG@10 on the shipped data by 0.011 at least."""

BY_SIZE: Final = 0
"""A parameter that is to follow the data; no fit sees it."""

MOST_FACTORS: Final = 128
"""More cost in proportion; more were not tried."""

LEAST_OF_MANY: Final = 32
"""However many rows there are: fewer factors lose more than memory is worth."""

MOST_NUMBERS: Final = 1 << 24
"""Of both matrices: 64 MB of float32, which every worker holds for each resident version."""

STEP: Final = 8

NOISE_SHARE: Final = 0.75
"""Regularization in terms of the noise's largest singular value."""

DIGITS: Final = 3
"""Significant digits: what the manifest shows is what was used."""


def settle_sizes(parameters: Parameters, weights: Csr) -> Parameters:
    """Return the parameters with each that is `BY_SIZE` replaced by what the module's rule says.

    Parameters
    ----------
    parameters
        As the settings have them.
    weights
        (users, items), each above 0: what will be learned from.

    Returns
    -------
    Parameters without any `BY_SIZE`. Without interactions: 8 factors, alpha 1, regularization 0.75.

    Examples
    --------
    >>> one_each = Csr(np.array([0, 1, 2]), np.array([0, 1]), np.full(2, 4.0, "f4"), (2, 2))
    >>> found = settle_sizes(Parameters(0, 15, 0, 0, 42), one_each)
    >>> found.factors, found.regularization, found.alpha
    (8, 1.5, 0.25)
    """
    alpha = parameters.alpha or _alpha(weights)
    found = {
        "factors": parameters.factors or factors_by_size(*weights.filled),
        "alpha": alpha,
        "regularization": parameters.regularization
        or rounded(NOISE_SHARE * noise_of(weights, alpha)),
    }
    return structs.replace(parameters, **found)


def factors_by_size(users: int, items: int) -> int:
    """Return how many columns the factors have.

    Parameters
    ----------
    users, items
        Those with interactions.

    Examples
    --------
    >>> [factors_by_size(*size) for size in ((24, 24), (943, 1_682), (200_000, 20_000))]
    [8, 128, 64]
    >>> factors_by_size(1_000_000, 100_000)
    32
    """
    factors = MOST_FACTORS
    while factors > LEAST_OF_MANY and factors * (users + items) > MOST_NUMBERS:
        factors //= 2
    return max(STEP, min(factors, min(users, items) // 2 // STEP * STEP))


def noise_of(weights: Csr, alpha: float) -> float:
    r"""Return about the largest singular value of as many such confidences at random places.

    :math:`\alpha w_{rms} (\sqrt{n / U} + \sqrt{n / I})`, over users and items with interactions;
    1 without any.
    """
    entries = len(weights.values)
    if not entries:
        return 1.0
    users, items = weights.filled
    square = float(np.square(weights.values, dtype=np.float64).mean())
    return alpha * math.sqrt(square) * (math.sqrt(entries / users) + math.sqrt(entries / items))


def _alpha(weights: Csr) -> float:
    mean = float(weights.values.mean(dtype=np.float64)) if len(weights.values) else 1.0
    return rounded(1 / mean)


def rounded(value: float) -> float:
    """Return the value to `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")
