"""Which fit a run uses.

Knows the settings that choose; must not know how any of them fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from registry.errors import ConfigurationError
from registry.settings import Settings
from training.fitting.als import Fit, FitFrom, fit_als
from training.fitting.spark import fit_spark
from training.fitting.spark_session import Cluster
from training.fitting.warm_start import Warming

BEGINNING_ANYWHERE: Final[Mapping[str, FitFrom]] = {"implicit": fit_als}
"""Fits that can begin with given factors. Spark's ALS draws its first values itself."""


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
    raise ConfigurationError(f"backend {name!r}: must be implicit or spark")


def fit_from_of(backend: str) -> FitFrom:
    """Return the fit of a backend that can begin with given factors.

    Raises
    ------
    ConfigurationError
        If it cannot.
    """
    if backend not in BEGINNING_ANYWHERE:
        raise ConfigurationError(f"backend {backend!r}: its fit cannot start from given factors")
    return BEGINNING_ANYWHERE[backend]


def warming_of(settings: Settings) -> Warming | None:
    """Return what the fit of what is published may begin with; None: with nothing.

    That is so if ``RETRAIN_FINAL_ITERATIONS`` and ``RETRAIN_WARM_ITERATIONS`` are 0.
    """
    served, final = settings.retrain_warm_iterations, settings.retrain_final_iterations
    if not served and not final:
        return None
    backend = settings.train_backend
    return Warming(served, backend, BEGINNING_ANYWHERE.get(backend), final)
