"""Which fit a run uses.

Knows the settings that choose; must not know how any of them fits.
"""

from __future__ import annotations

from functools import partial

from registry.errors import ConfigurationError
from registry.settings import Settings
from training.fit import Fit, FitFrom, fit_als
from training.spark import Cluster, fit_spark
from training.warm import Warming


def fit_of(settings: Settings, backend: str | None = None) -> Fit:
    """Return the fit of a backend; None: of the one that ``TRAIN_BACKEND`` asks for.

    Raises
    ------
    ConfigurationError
        If this program has no such backend.
    """
    name = backend or settings.train_backend
    if name == "implicit":
        return fit_als
    if name == "spark":
        return partial(
            fit_spark,
            Cluster(
                settings.train_spark_master,
                settings.train_spark_staging,
                settings.train_spark_memory,
            ),
        )
    raise ConfigurationError(f"backend {name!r}: this program fits by implicit or spark")


def fit_from_of(backend: str) -> FitFrom:
    """Return the fit of a backend that can begin with given factors.

    Raises
    ------
    ConfigurationError
        If it cannot: Spark's ALS draws its first values itself.
    """
    if backend != "implicit":
        raise ConfigurationError(f"backend {backend!r}: its fit cannot begin with given factors")
    return fit_als


def warming_of(settings: Settings) -> Warming | None:
    """Return how a run warms its start; None if ``RETRAIN_WARM_ITERATIONS`` is 0."""
    iterations, backend = settings.retrain_warm_iterations, settings.train_backend
    return Warming(iterations, backend, fit_from_of(backend)) if iterations else None
