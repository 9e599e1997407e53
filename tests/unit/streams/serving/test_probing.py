"""Probing: which scorings are timed, and how seldom."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from harness.cells import each_cell
from harness.fresh import fresh_settings, publish_model

from registry.guardrails.histogram import MAPPING
from registry.versions.model import Model
from registry.versions.store import Store
from registry.wire.counts import ArmCounts
from registry.wire.requests import Request
from streams.serving.batch_results import Batch
from streams.serving.probing import LEAST_PAUSE_SECONDS, PAUSE_FACTOR, Prober


class Clock:
    """Goes on by `step` seconds each time it is asked."""

    def __init__(self, step: float) -> None:
        self._ticks: Iterator[int] = count()
        self._step = step

    def __call__(self) -> float:
        return next(self._ticks) * self._step


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    settings = fresh_settings("nowhere:9092", tmp_path_factory.mktemp("registry"))
    return Store(settings.model_registry).open(publish_model(settings))


def a_batch(version: str, *arms: str) -> Batch:
    batch = Batch(7)
    for arm in arms:
        batch.count(ArmCounts(arm, version))
        batch.samples[arm].append(Request("r1", 1))  # type: ignore[index]
    return batch


def test_each_arm_that_answered_gets_a_time_that_the_first_scoring_is_not_part_of(
    model: Model,
) -> None:
    batch = a_batch(model.version, "primary", "canary")
    Prober(Clock(0.001)).measure(batch, {model.version: model})
    once = {MAPPING.key(0.001): 1}
    assert batch.scoring == {"primary": once, "canary": once}


def test_a_batch_without_arms_to_compare_is_not_timed(model: Model) -> None:
    batch = a_batch(model.version)
    Prober(Clock(0.001)).measure(batch, {model.version: model})
    assert not batch.scoring


def test_a_probe_leaves_the_counts_alone_in_which_another_thread_counts_refused_answers(
    model: Model,
) -> None:
    batch = a_batch(model.version, "primary", "canary")
    before = dict(batch.arms)
    Prober(Clock(0.001)).measure(batch, {model.version: model})
    assert batch.scoring
    assert all(batch.arms[arm] is counts for arm, counts in before.items())


@each_cell("step", [1e-6, 0.01])
def test_probes_are_rare_and_the_rarer_the_longer_they_take(model: Model, step: float) -> None:
    prober, probed, looks = Prober(Clock(step)), 0, 2_000
    for _ in range(looks):
        batch = a_batch(model.version, "primary")
        prober.measure(batch, {model.version: model})
        probed += bool(batch.scoring)
    passed = looks * step  # at least one tick a look
    assert 1 <= probed <= 1 + 4 * passed / max(LEAST_PAUSE_SECONDS, PAUSE_FACTOR * step)


def test_a_request_that_cannot_be_scored_is_not_timed_and_does_no_harm(
    model: Model, tmp_path: Path
) -> None:
    batch = a_batch(model.version, "canary")
    batch.samples["canary"] = [Request("r1", 1, k=-1)]
    Prober(Clock(0.001)).measure(batch, {model.version: model})
    assert batch.scoring == {"canary": {}}
