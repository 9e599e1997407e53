"""A batch in flight: raw records, answers, dead letters, counts. Values only."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from registry.errors import RecordError
from registry.fresh.fresh_sight import FreshSight
from registry.ids import UserId
from registry.wire.counts import ArmCounts, Histogram
from registry.wire.field_types import Variant
from registry.wire.requests import Request
from registry.wire.responses import Item
from streams.raw_record import RawRecord
from streams.serving.routing import Route


class DeadLetter(NamedTuple):
    """A record that cannot be used, and why."""

    record: RawRecord
    error: RecordError


@dataclass(frozen=True, slots=True)
class Origin:
    """The part of an answer's provenance that is the same for all answers of a worker."""

    environment: str
    worker: str


class Answer(NamedTuple):
    """One encoded answer with its request's key, and what is counted of it."""

    key: bytes | None
    payload: bytes
    request_id: str
    version: str
    timestamp_ms: int
    request: Request | None = None
    way: Route | None = None


class Sent(NamedTuple):
    """When the requests of one arm, or of none, were sent that one version has answered.

    ``at_ms`` are the records' timestamps, int64 (n,), in milliseconds since the epoch.
    """

    version: str
    arm: Variant | None
    at_ms: npt.NDArray[np.int64]


class Shadowed(NamedTuple):
    """An answer that the canary version is to be compared with, off to the side.

    ``primary_seconds`` is the scoring time per request of the group that it was scored in.
    ``sight`` is what users did since, as the answer saw it.
    """

    key: bytes | None
    request: Request
    items: list[Item]
    epoch: int
    primary_version: str
    canary_version: str
    primary_seconds: float
    sight: FreshSight | None = None


@dataclass(slots=True)
class Batch:
    """What became of one batch of records, under the state of ``epoch``.

    ``records`` has each answer's request record. ``scoring_seconds`` is by version. ``arms`` and
    ``users`` are what each arm's users got, and who they are; latencies are known, and counted,
    only once Kafka has confirmed the answers. ``samples`` are, while versions are being compared,
    the first requests that each arm's own version has answered: `streams.serving.probing` times
    them again, into ``scoring``. That is apart from ``arms``: meanwhile, in another thread, a
    refused answer may be counted there. ``failures`` has, of a version that could not score what
    another could, one of the reasons.
    """

    epoch: int | None = None
    answers: list[Answer] = field(default_factory=list)
    records: list[RawRecord] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    scoring_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    arms: dict[str, ArmCounts] = field(default_factory=dict)
    users: defaultdict[Variant, set[UserId]] = field(default_factory=lambda: defaultdict(set))
    samples: defaultdict[Variant, list[Request]] = field(default_factory=lambda: defaultdict(list))
    scoring: dict[str, Histogram] = field(default_factory=dict)
    shadowed: list[Shadowed] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def count(self, counts: ArmCounts) -> None:
        """Add `counts` to those of their arm."""
        known = self.arms.get(counts.variant)
        self.arms[counts.variant] = counts if known is None else known.add(counts)
