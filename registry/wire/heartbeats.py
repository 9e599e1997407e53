"""Heartbeats (topic ``fleet``): what each worker reports once a second."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from registry.wire.counts import ArmCounts, ShadowCounts
from registry.wire.outcome_records import PartitionSums


class Heartbeat(Struct, frozen=True, omit_defaults=True):
    """One worker at one moment (topic ``fleet``, keyed by worker).

    The heartbeat of the worker that owns the control partition is the lease of all.

    Parameters
    ----------
    worker, instance
        Its name; name, start and a random end, so that a restart under the same name, or a
        namesake, is another row.
    at
        Seconds since the epoch: by the worker's clock on the topic; by the broker's, once read.
    epoch
        Of the state that it acts on; None before the first.
    ready, failures
        Versions in memory; why others could not be loaded.
    lag
        Request records that wait on its partitions.
    requests_per_second
        What it answered over the last ten seconds.
    reasons
        Codes of why it is not ready.
    arms, shadow
        Counts since it began to act on `epoch`.
    stopping
        Whether this is its last heartbeat.
    log_offset
        Last offset of the control log that it knows, -1 before the first command. None: a worker
        of a release that did not have this field, whose lease is in the rollout table.
    partitions
        How many request partitions it has; None: a worker of a release without this field.
    fresh_lag
        Interactions of its users that it has not read yet; None: it follows none.
    outcomes
        The closed users of its partitions under `epoch`.
    heard_at
        When it was sent first, by the broker's clock, if the owner says it again; see `carried`.
    """

    worker: Annotated[str, Meta(min_length=1, max_length=200)]
    instance: Annotated[str, Meta(min_length=1, max_length=300)]
    environment: str
    at: float
    epoch: int | None = None
    ready: tuple[str, ...] = ()
    failures: dict[str, str] = {}
    lag: int = 0
    requests_per_second: float = 0.0
    owns_control: bool = False
    reasons: tuple[str, ...] = ()
    url: str = ""
    arms: tuple[ArmCounts, ...] = ()
    shadow: ShadowCounts | None = None
    stopping: bool = False
    log_offset: int | None = None
    heard_at: float | None = None
    partitions: int | None = None
    outcomes: tuple[PartitionSums, ...] = ()
    fresh_lag: int | None = None
