"""Which series /metrics has: errors from the start, versions while they live."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest
from harness.builders import some_parts
from prometheus_client.exposition import generate_latest

from registry.kafka.topics import topics_of
from registry.rollout.command_log import ControlLog
from registry.settings import Settings
from streams.metrics import Metrics
from streams.state.metric_series import (
    LINGER_SECONDS,
    MOST_LINGERING,
    VersionSeries,
    begin_at_zero,
    show_arms,
)
from tests.unit.registry.builders import a_canary_state, a_description, a_state, some_arrays

SECONDS = np.array([0.1])
SET_ANEW = (
    *("model_version_info", "rollout_info", "ramp_info", "new_items"),
    *("model_tiles_from", "model_share_read"),
)
"""Gauges that are cleared at each change of the state, or look at it."""


def observe(metrics: Metrics, version: str, other: str = "v9.9") -> None:
    """Count in each metric that has a version among its labels."""
    metrics.requests.labels(version, "primary", "ok").inc()
    for batched in (metrics.latency, metrics.scoring, metrics.shadow_scoring):
        batched.observe(version, SECONDS)
    metrics.model_switches.labels(other, version, "done").inc()
    metrics.model_switches.labels(version, other, "done").inc()
    for pair in ((version, other), (other, version)):
        metrics.shadow_comparisons.labels(*pair).inc()
        metrics.shadow_overlap.labels(*pair).observe(1)
        metrics.shadow_rank_biased_overlap.labels(*pair).observe(1)


def naming(metrics: Metrics, version: str) -> int:
    return sum(
        f'"{version}"' in line for line in generate_latest(metrics.registry).decode().split()
    )


def test_every_family_that_is_told_by_version_forgets_one_that_has_gone() -> None:
    metrics = Metrics()
    series = VersionSeries(metrics)
    observe(metrics, "v0.1")
    for name, collector in vars(metrics).items():
        by_version = any("version" in label for label in getattr(collector, "_labelnames", ()))
        if by_version and name not in SET_ANEW:
            assert collector._metrics, f"{name} is told by version: add it to `observe`"
    series.keep(["v0.1"], 0.0)
    assert naming(metrics, "v0.1") > 0
    series.keep(["v0.2"], LINGER_SECONDS)
    assert naming(metrics, "v0.1") > 0, "its last answers may not have been scraped yet"
    series.keep(["v0.2"], LINGER_SECONDS + 1)
    assert naming(metrics, "v0.1") == 0


def test_of_many_versions_that_go_at_once_only_the_last_ones_linger() -> None:
    metrics = Metrics()
    series = VersionSeries(metrics)
    for minor in range(12):
        observe(metrics, f"v0.{minor}", f"v0.{minor + 1}")
        series.keep([f"v0.{minor}", f"v0.{minor + 1}"], float(minor))
    shown = generate_latest(metrics.registry).decode()
    kept = [minor for minor in range(13) if f'"v0.{minor}"' in shown]
    assert kept == list(range(13 - 2 - MOST_LINGERING, 13))


def test_a_version_that_was_observed_after_it_had_gone_goes_again() -> None:
    metrics = Metrics()
    series = VersionSeries(metrics)
    metrics.latency.observe("v0.1", SECONDS)
    series.keep([], 0.0)
    series.keep([], LINGER_SECONDS + 1)
    assert naming(metrics, "v0.1") == 0


def test_a_version_that_stays_keeps_its_counts() -> None:
    metrics = Metrics()
    series = VersionSeries(metrics)
    observe(metrics, "v0.1", "v0.2")
    for now in range(0, 10_000, 100):
        series.keep(["v0.1", "v0.2"], float(now))
    assert metrics.requests.labels("v0.1", "primary", "ok")._value.get() == 1


def test_errors_are_told_at_0_before_the_first_one() -> None:
    metrics = Metrics()
    begin_at_zero(metrics, topics_of(Settings()))
    show_arms(metrics, a_canary_state())
    lines = set(generate_latest(metrics.registry).decode().splitlines())
    for line in (
        'dead_letters_total{reason="malformed",topic="reco.requests"} 0.0',
        'dead_letters_total{reason="answer_too_large",topic="reco.requests"} 0.0',
        'records_refused_total{reason="too_large",topic="reco.responses"} 0.0',
        'recommend_requests_total{model_version="v0.2",status="error",variant="canary"} 0.0',
        'recommend_fallbacks_total{reason="version_not_ready"} 0.0',
        'control_commands_total{status="failed",type=""} 0.0',
        'training_runs_total{status="failed"} 0.0',
        'shadow_failures_total{reason="scoring"} 0.0',
        'negative_durations_total{duration="latency"} 0.0',
    ):
        assert line in lines


def test_a_canary_that_could_never_be_loaded_is_shown_while_it_is_named_and_then_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = some_parts(tmp_path, a_canary_state(epoch=7))
    node, metrics = parts.node, parts.metrics
    node.store.publish(some_arrays(), a_description())  # v0.1; there is no v0.2

    async def act_on_both_states() -> None:
        async with asyncio.timeout(60):
            while node.acting is None or "v0.2" not in node.residency.failures:
                node.refresh()
                await asyncio.sleep(0.001)
        node.update_gauges()
        assert naming(metrics, "v0.2") > 0
        node.view.offer_log(ControlLog(8, a_state(epoch=8)))
        node.refresh()
        assert node.acting is node.view.state

    try:
        asyncio.run(act_on_both_states())
    finally:
        node.residency.stop()
    later = time.monotonic() + LINGER_SECONDS + 1
    monkeypatch.setattr("time.monotonic", lambda: later)
    node.update_gauges()
    assert naming(metrics, "v0.2") == 0
    assert naming(metrics, "v0.1") > 0
