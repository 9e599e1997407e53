"""Which fit a run uses.

Knows the settings that choose; must not know how any of them fits.
"""

from __future__ import annotations

from functools import partial

from registry.settings import Settings
from training.fit import Fit, fit_als
from training.spark import Cluster, fit_spark


def fit_of(settings: Settings) -> Fit:
    """Return the fit that ``TRAIN_BACKEND`` asks for."""
    if settings.train_backend == "implicit":
        return fit_als
    cluster = Cluster(
        settings.train_spark_master, settings.train_spark_staging, settings.train_spark_memory
    )
    return partial(fit_spark, cluster)
