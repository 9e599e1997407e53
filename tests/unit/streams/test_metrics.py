"""The batch histogram: the same figures as prometheus_client's own, a batch at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streams.batch_histogram import LATENCY_BUCKETS, BatchHistogram
from streams.metrics import Metrics

SECONDS = st.one_of(st.floats(0, 100), st.sampled_from([0.0, 60.0, *LATENCY_BUCKETS]))


def a_histogram() -> tuple[BatchHistogram, CollectorRegistry]:
    registry = CollectorRegistry()
    return BatchHistogram("latency_seconds", "Of answers.", registry), registry


def exposed(registry: CollectorRegistry) -> dict[tuple[str, str, float], float]:
    """Read what a scrape would: by sample, version and upper bound in units of 1e-9 seconds."""
    text = generate_latest(registry).decode()
    return {
        (
            sample.name,
            sample.labels["model_version"],
            round(float(sample.labels.get("le", 0)), 9),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.tuples(st.sampled_from(["v0.1", "v0.2"]), st.lists(SECONDS)), max_size=5))
def test_batches_count_as_prometheus_counts_single_observations(
    batches: list[tuple[str, list[float]]],
) -> None:
    histogram, registry = a_histogram()
    reference_registry = CollectorRegistry()
    reference = Histogram(
        "latency_seconds", "Of answers.", ["model_version"],
        buckets=LATENCY_BUCKETS, registry=reference_registry,
    )  # fmt: skip
    for version, batch in batches:
        histogram.observe(version, np.array(batch))
        for seconds in batch:
            reference.labels(version).observe(seconds)
        reference.labels(version)
    assert exposed(registry) == pytest.approx(exposed(reference_registry))


def test_a_version_that_is_removed_is_not_told_of() -> None:
    histogram, registry = a_histogram()
    for version in ("v0.1", "v0.2"):
        histogram.observe(version, np.array([0.1]))
    histogram.remove("v0.1")
    histogram.remove("v0.3")
    assert {version for _, version, _ in exposed(registry)} == {"v0.2"}
    assert histogram.quantile("v0.1", 0.5) is None


@given(st.lists(SECONDS, min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_the_bound_of_the_bucket_that_holds_it(
    observed: list[float], share: float
) -> None:
    histogram, _ = a_histogram()
    histogram.observe("v0.1", np.array(observed))
    exact = float(np.quantile(observed, share, method="inverted_cdf"))
    bounds = [*LATENCY_BUCKETS, float("inf")]
    assert histogram.quantile("v0.1", share) == min(bound for bound in bounds if exact <= bound)


def test_there_is_no_quantile_without_an_observation() -> None:
    histogram, _ = a_histogram()
    assert histogram.quantile("v0.1", 0.5) is None
    histogram.observe("v0.1", np.array([]))
    assert histogram.quantile("v0.1", 0.5) is None


def test_versions_are_counted_apart() -> None:
    histogram, _ = a_histogram()
    histogram.observe("v0.1", np.array([0.0001]))
    histogram.observe("v0.2", np.array([10.0]))
    assert (histogram.quantile("v0.1", 0.5), histogram.quantile("v0.2", 0.5)) == (0.0001, 10.0)


def test_the_buckets_start_at_a_tenth_of_a_millisecond_and_rise() -> None:
    assert LATENCY_BUCKETS[0] == 1e-4
    assert list(LATENCY_BUCKETS) == sorted(set(LATENCY_BUCKETS))


def test_the_metrics_of_the_contract_are_there() -> None:
    names = {family.name for family in Metrics().registry.collect()}
    assert names >= {
        *("model_version_info", "model_switches", "recommend_requests", "recommend_fallbacks"),
        *("recommend_latency_seconds", "recommend_scoring_seconds", "rollout_info"),
        *("rollout_epoch", "rollout_age_seconds", "control_commands", "model_load_seconds"),
        *("models_resident", "training_runs", "training_seconds", "dead_letters", "consumer_lag"),
    }
