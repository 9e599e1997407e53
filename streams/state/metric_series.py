"""Series: which label values the metrics have, so that /metrics neither hides nor piles up.

Two rules. Error counters exist at 0 from the start: a counter that first appears with an error
shows no increase. Series by version cover the versions in memory, and for a while those that were:
a worker that runs for months with hourly training would otherwise report thousands of versions that
answer nobody. Must not know when anything is counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain, product
from typing import Final

from prometheus_client import Counter

from registry.error_codes import FallbackCode, RecordCode, RefusalCause, RefusedAnswerCode
from registry.kafka.topics import Topics
from registry.rollout.assignment import arms_of
from registry.wire.rollout_state import RolloutState
from streams.comparing.shadow import OLD_EPOCH, QUEUE_FULL
from streams.metrics import Metrics

LINGER_SECONDS: Final = 300.0
"""How long the series of a version stay after it has left the memory: the scrapes that see its last
answers, and the windows that are computed of them."""

MOST_LINGERING: Final = 8
"""Versions that stay so, those that left last: fifty canaries in five minutes pile up nothing."""

UNUSABLE: Final = (
    RecordCode.EMPTY,
    RecordCode.MALFORMED,
    RecordCode.INVALID,
    RecordCode.TOO_LARGE,
)
"""Why a record becomes a dead letter, `registry.wire.codec.decode`."""

FAILED_TRAININGS: Final = ("refused", "failed", "out_of_memory", "timeout")


def begin_at_zero(metrics: Metrics, topics: Topics) -> None:
    """Show every counter of errors before the first one."""
    read = [topic.name for topic in (topics.requests, topics.control, topics.fleet, topics.items)]
    sent = [
        topic.name
        for topic in topics
        if topic not in (topics.requests, topics.interactions, topics.items)
    ]
    zero: tuple[tuple[Counter, Iterable[tuple[str, ...]]], ...] = (
        (metrics.dead_letters, product(read, UNUSABLE)),
        (metrics.dead_letters, product(read[:1], RefusedAnswerCode)),
        (metrics.records_refused, product(sent, RefusalCause)),
        (metrics.fallbacks, product(FallbackCode)),
        (metrics.requests, product([""], [""], ["error", "expired"])),
        (metrics.training_runs, product(FAILED_TRAININGS)),
        (metrics.shadow_dropped, product([QUEUE_FULL, OLD_EPOCH, FallbackCode.VERSION_NOT_READY])),
        (metrics.shadow_failures, product(["scoring", "delivery"])),
        (metrics.commands, [("", "failed")]),
        (metrics.negative_durations, [("latency",)]),
    )
    for counter, labels in zero:
        for values in labels:
            counter.labels(*values)


def show_arms(metrics: Metrics, acting: RolloutState) -> None:
    """Show what the versions that answer users count, before their first answer."""
    for version, variant in arms_of(acting).items():
        for status in ("ok", "error"):
            metrics.requests.labels(version, variant, status)


class VersionSeries:
    """Removes the series of the versions that have gone."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._histograms = (metrics.latency, metrics.scoring, metrics.shadow_scoring)
        self._seen_at: dict[str, float] = {}

    def keep(self, live: Collection[str], now: float) -> None:
        """Remove the series of versions that are neither `live` nor were so a moment ago.

        Parameters
        ----------
        live
            The versions that are in memory, or answer users as soon as they are.
        now
            Seconds of a monotonic clock.
        """
        for version in live:
            self._seen_at.pop(version, None)
            self._seen_at[version] = now  # the latest goes last
        for version in self._observed():  # by a batch that was confirmed after its version had gone
            self._seen_at.setdefault(version, now)
        lingering = [version for version in self._seen_at if version not in live]
        late = lingering[: max(0, len(lingering) - MOST_LINGERING)]
        late += [version for version in lingering if now - self._seen_at[version] > LINGER_SECONDS]
        for version in dict.fromkeys(late):
            del self._seen_at[version]
            self._remove(version)

    def _observed(self) -> Iterable[str]:
        return chain.from_iterable(histogram.versions() for histogram in self._histograms)

    def _remove(self, version: str) -> None:
        metrics = self._metrics
        for batched in self._histograms:
            batched.remove(version)
        metrics.requests.remove_by_labels({"model_version": version})
        for label in ("from_version", "to_version"):
            metrics.model_switches.remove_by_labels({label: version})
        for compared in (
            *(metrics.shadow_comparisons, metrics.shadow_overlap),
            metrics.shadow_rank_biased_overlap,
        ):
            for label in ("primary_version", "canary_version"):
                compared.remove_by_labels({label: version})
