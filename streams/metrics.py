"""The metrics of PRODUCT.md §7, in one registry per worker.

Knows names, labels and buckets. Must not know when to count.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from registry.scoring.kernel_choice import KernelUse
from streams.batch_histogram import BatchHistogram

SHARE_BUCKETS: Final = tuple(tenth / 10 for tenth in range(11))
"""Upper bounds of shares. An answer of ten items overlaps by one of them exactly."""


class OutcomeMetrics:
    """What one worker says of an experiment's outcomes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self.experiment_users = gauge(
            "experiment_users", "Users of an arm whose attribution window has closed.", ["variant"]
        )
        self.experiment_difference = gauge(
            "experiment_difference", "Canary minus primary, and its interval, which holds at all "
            "times together; absent while nothing can be said.",
            ["metric", "bound"],
        )  # fmt: skip
        self.experiment_verdict = gauge(
            "experiment_verdict", "1 for what may be concluded from outcomes now.", ["verdict"]
        )
        self.outcome_open_windows = gauge(
            "outcome_open_windows", "Users of this worker's partitions whose window is open."
        )
        self.outcome_delay = gauge(
            "outcome_delay_seconds", "How far this worker's join is behind, in the partition where "
            "it is furthest; 0 while nothing waits to be joined.",
        )  # fmt: skip
        self.outcome_left_out = gauge(
            "outcome_left_out_records", "Records that this worker's joins leave out: answers to "
            "more users than are remembered, or what could not be decoded.", ["reason"],
        )  # fmt: skip


class KernelMetrics(OutcomeMetrics):
    """How the versions in memory are scored."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        gauge = partial(Gauge, registry=registry)
        self.model_tiles_from = gauge(
            "model_tiles_from_requests", "Requests of a batch from which on the kernel of tiles "
            "scores a version in memory, and implicit's below; +Inf: implicit's always.",
            ["model_version"],
        )  # fmt: skip
        self.model_share_read = gauge(
            "model_share_read", "Share of the catalogue, 0..1, that the kernel of tiles reads for "
            "users of a version in memory; implicit's reads all of it.",
            ["model_version"],
        )  # fmt: skip

    def show_kernels(self, use_by_version: Mapping[str, KernelUse]) -> None:
        """Show how the versions in memory are scored, and no others."""
        for gauge in (self.model_tiles_from, self.model_share_read):
            gauge.clear()
        for version, use in use_by_version.items():
            self.model_tiles_from.labels(version).set(use.tiles_from)
            self.model_share_read.labels(version).set(use.share_read)


class Metrics(KernelMetrics):
    """All metrics of one worker."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        super().__init__(registry)
        gauge, counter = partial(Gauge, registry=registry), partial(Counter, registry=registry)
        self.model_version_info = gauge(
            "model_version_info", "1 for each version that answers users.",
            ["model_name", "version", "git_sha", "data_snapshot"],
        )  # fmt: skip
        self.model_switches = counter(
            "model_switches", "Changes of the version that this worker answers with.",
            ["from_version", "to_version", "status"],
        )  # fmt: skip
        self.requests = counter(
            "recommend_requests", "Requests answered.", ["model_version", "variant", "status"]
        )
        self.latency = BatchHistogram(
            "recommend_latency_seconds", "From the request's timestamp to its confirmed answer.",
            registry,
        )  # fmt: skip
        self.negative_durations = counter(
            "negative_durations", "Durations between two clocks that came out negative, or whose "
            "start has no timestamp; they are left out of what they would be part of.",
            ["duration"],
        )  # fmt: skip
        self.scoring = BatchHistogram(
            "recommend_scoring_seconds", "Scoring of one batch.", registry
        )
        self.fallbacks = counter(
            "recommend_fallbacks", "Answers that were not produced as assigned.", ["reason"]
        )
        self.rollout_info = gauge(
            "rollout_info", "1 for the rollout state that this worker acts on.",
            ["environment", "strategy", "primary_version", "canary_version"],
        )  # fmt: skip
        self.rollout_epoch = gauge("rollout_epoch", "Epoch of the state that this worker acts on.")
        self.rollout_age = gauge(
            "rollout_age_seconds", "Seconds since this worker last heard from the rollout table."
        )
        self.ramp_info = gauge(
            "ramp_info", "1 for the ramp in progress.",
            ["environment", "canary_version", "stage", "paused"],
        )  # fmt: skip
        self.ramp_stage = gauge("ramp_stage", "Stage of the ramp, from 0.")
        self.ramp_stages = gauge("ramp_stages", "Stages of the ramp.")
        self.ramp_outcome = gauge(
            "ramp_outcome", "1 for the outcome of the last ramp, until the next command.",
            ["environment", "outcome"],
        )  # fmt: skip
        self.guardrail_verdict = gauge(
            "guardrail_verdict", "1 for the verdict of a guardrail on the ramp's current stage.",
            ["guardrail", "verdict"],
        )  # fmt: skip
        self.catalogue_items = gauge(
            "catalogue_items", "Items of which the items topic has a record."
        )
        self.catalogue_withdrawn = gauge(
            "catalogue_withdrawn_items", "Items that no answer of this worker may show."
        )
        self.catalogue_lag = gauge(
            "catalogue_lag", "Records of the items topic that this worker has not read yet."
        )
        self.fleet_workers = gauge(
            "fleet_workers", "Workers that sent a heartbeat within the last seconds."
        )
        self.commands = counter(
            "control_commands", "Commands decided by this worker.", ["type", "status"]
        )
        self.load_seconds = Histogram(
            "model_load_seconds", "Loading, checking and warming of one version.",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100), registry=registry,
        )  # fmt: skip
        self.models_resident = gauge("models_resident", "Versions in memory.")
        self.training_runs = counter("training_runs", "Training runs of this worker.", ["status"])
        self.training_seconds = gauge(
            "training_seconds", "Duration of the last run's stages.", ["stage"]
        )
        self.training_unusable = gauge(
            "training_unusable_interactions",
            "Records of the last run's snapshot that could not be used.", ["reason"],
        )  # fmt: skip
        self.dead_letters = counter(
            "dead_letters", "Records that became dead letters.", ["topic", "reason"]
        )
        self.records_refused = counter(
            "records_refused", "Records that Kafka refused permanently, whether or not replaced.",
            ["topic", "reason"],
        )  # fmt: skip
        self.requests_cut_off = counter(
            "requests_cut_off", "Requests that retention deleted before they were read."
        )
        self.topics_made_again = counter(
            "topics_made_again", "Times that a topic was found to have been re-created.", ["topic"]
        )
        self.requests_in_flight = gauge(
            "requests_in_flight", "Requests in flight: read and not yet acknowledged."
        )
        self.consumer_lag = gauge(
            "consumer_lag", "Records of an assigned partition that are not answered yet.",
            ["topic", "partition"],
        )  # fmt: skip
        self.fresh_lag = gauge(
            "fresh_lag_records", "Fresh interactions that this worker has not read yet."
        )
        self.fresh_interactions = gauge("fresh_interactions", "Fresh interactions in memory.")
        self.fresh_users = gauge("fresh_users", "Users of whom there are fresh interactions.")
        self.fresh_bytes = gauge("fresh_memory_bytes", "What fresh interactions take.")
        self.fresh_packed = gauge(
            "fresh_packed_users",
            "Users of whom, for want of memory, no more is left than what they have seen.",
        )  # fmt: skip
        self.fresh_unusable = counter(
            "fresh_unusable_interactions", "Followed records that are no usable interactions.",
            ["reason"],
        )  # fmt: skip
        self.new_items = gauge(
            "new_items", "Items that a version does not know and that join its lists.",
            ["model_version"],
        )  # fmt: skip
        self.partitioner_share = gauge(
            "partitioner_share", "Share of a topic's records that lie where this partitioner puts "
            "their keys, 0..1; only the one that was recognised, `other` if none was.",
            ["topic", "partitioner"],
        )  # fmt: skip
        versions = ["primary_version", "canary_version"]
        self.shadow_comparisons = counter(
            "shadow_comparisons", "Answers compared with the canary version's.", versions
        )
        self.shadow_dropped = counter(
            "shadow_dropped", "Comparisons that were dropped.", ["reason"]
        )
        self.shadow_failures = counter(
            "shadow_failures", "Comparisons that failed at scoring or at delivery.", ["reason"]
        )
        self.shadow_overlap = Histogram(
            "shadow_overlap", "Share of an answer's items that the canary version gives too, 0..1.",
            versions, buckets=SHARE_BUCKETS, registry=registry,
        )  # fmt: skip
        self.shadow_rank_biased_overlap = Histogram(
            "shadow_rank_biased_overlap", "Agreement of the two rankings, 0..1.",
            versions, buckets=SHARE_BUCKETS, registry=registry,
        )  # fmt: skip
        self.shadow_scoring = BatchHistogram(
            "shadow_scoring_seconds", "Scoring of one compared request, of its chunk.", registry
        )
        self.shadow_queue = gauge("shadow_queue", "Answers that wait to be compared.")
