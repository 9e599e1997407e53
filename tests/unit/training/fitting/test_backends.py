"""Which fit a run uses, and which one can begin with given factors."""

from __future__ import annotations

import pytest

from registry.errors import ConfigurationError
from registry.settings import Settings, read_settings
from training.fitting.als import fit_als
from training.fitting.backends import fit_from_of, fit_of, warming_of
from training.fitting.warm_start import Warming

SPARK = Settings(train_backend="spark")


def test_the_setting_chooses_unless_a_manifest_does() -> None:
    assert fit_of(Settings()) is fit_als
    assert fit_of(SPARK) is not fit_als
    assert fit_of(SPARK, "implicit") is fit_als


def test_a_backend_that_this_program_has_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="backend 'torch': must be implicit"):
        fit_of(Settings(), "torch")


def test_a_fit_begins_with_the_trial_and_with_what_is_served_only_if_it_is_asked_for() -> None:
    assert warming_of(Settings()) == Warming(0, "implicit", fit_als, 3)
    assert warming_of(Settings(retrain_final_iterations=0)) is None
    asked = Settings(retrain_warm_iterations=5)
    assert warming_of(asked) == Warming(5, "implicit", fit_als, 3)


def test_spark_is_told_as_a_backend_that_begins_at_random() -> None:
    assert warming_of(SPARK) == Warming(0, "spark", None, 3)


def test_spark_is_not_asked_to_begin_with_given_factors() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_settings({"RETRAIN_WARM_ITERATIONS": "5", "TRAIN_BACKEND": "spark"})
    assert str(refused.value) == (
        "RETRAIN_WARM_ITERATIONS=5: must be 0 with TRAIN_BACKEND='spark', whose fit cannot start "
        "from given factors"
    )
    with pytest.raises(ConfigurationError, match="cannot start from given factors"):
        fit_from_of("spark")
