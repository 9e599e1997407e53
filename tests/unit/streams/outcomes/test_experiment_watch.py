"""What a worker says of an experiment in its metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from registry.outcomes.partition_join import JoinProgress
from registry.settings import read_settings
from registry.wire.outcome_records import PartitionSums
from streams.metrics import Metrics
from streams.outcomes.experiment_watch import LOOK_SECONDS, ExperimentWatch
from tests.unit.streams.experiments import some_users
from tests.unit.streams.statuses import SECONDS, a_canary, a_heartbeat, a_state


def a_watch(outcomes: str = "on") -> tuple[ExperimentWatch, Any, Metrics]:
    metrics = Metrics()
    parts = (
        PartitionSums(41, 0, "A", some_users(1_000, 400)),
        PartitionSums(41, 0, "B", some_users(1_000, 600)),
    )
    view: Any = SimpleNamespace(
        state=a_canary(50.0, strategy="ab_test"), fleet=(a_heartbeat(outcomes=parts),)
    )
    follower: Any = SimpleNamespace(
        progress=JoinProgress((), 7, round((SECONDS - 12) * 1000), 3, 2), trouble=None
    )
    settings = read_settings({"RECSTREAM_OUTCOMES": outcomes})
    return ExperimentWatch(settings, view, follower, metrics), view, metrics


def samples(metrics: Metrics) -> dict[str, float]:
    return {
        "{}{}".format(sample.name, "".join(f" {value}" for value in sample.labels.values())): (
            sample.value
        )
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name.startswith(("experiment", "outcome"))
    }


def test_the_metrics_say_what_may_be_concluded_and_how_far_the_join_is() -> None:
    watch, _, metrics = a_watch()
    watch.show(SECONDS)
    found = samples(metrics)
    assert found["experiment_users A"] == found["experiment_users B"] == 1_000
    assert found["experiment_verdict better"] == 1
    lower, middle, upper = (
        found[f"experiment_difference conversion {bound}"]
        for bound in ("lower", "estimate", "upper")
    )
    assert 0 < lower < middle < upper
    assert found["outcome_open_windows"] == 7
    assert found["outcome_left_out_records too_many_users"] == 3
    assert found["outcome_left_out_records unusable"] == 2
    assert round(found["outcome_delay_seconds"]) == 12


def test_what_an_experiment_said_is_gone_when_it_has_ended() -> None:
    watch, view, metrics = a_watch()
    watch.show(SECONDS)
    view.state = a_state(epoch=42)
    watch.show(SECONDS + 0.5)
    assert not [name for name in samples(metrics) if name.startswith("experiment")]
    assert watch.conclusion() is None
    assert watch.status() is None


def test_it_looks_no_more_often_than_it_should_and_not_at_all_when_it_is_off() -> None:
    watch, view, _ = a_watch()
    watch.show(SECONDS)
    view.fleet = ()
    watch.show(SECONDS + LOOK_SECONDS / 2)
    seen = watch.conclusion()
    assert seen is not None
    assert seen.verdict == "better"
    watch.show(SECONDS + LOOK_SECONDS)
    seen = watch.conclusion()
    assert seen is not None
    assert seen.verdict == "no data"
    off, _, _ = a_watch("off")
    off.show(SECONDS)
    status = off.status()
    assert off.conclusion() is None
    assert status is not None
    assert not status.is_on
