"""A batch in flight: its answers and dead letters, and what is counted of them.

No I/O, no clock. Must not know how a request is answered, or who reads the counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from registry.errors import RecordError
from registry.fresh.fresh_sight import FreshSight
from registry.ids import UserId
from registry.wire.counts import ArmCounts, Histogram
from registry.wire.field_types import Variant
from registry.wire.requests import Request
from registry.wire.responses import AnswerStatus, Item
from streams.raw_record import RawRecord
from streams.serving.routing import Route

SAMPLES_AN_ARM: Final = 3
"""Most requests of one batch and arm that are timed: times in a row resemble one another."""


class Routed(NamedTuple):
    """A request, the record that it came in, and who answers it."""

    record: RawRecord
    request: Request
    route: Route


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


class SentRequests(NamedTuple):
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

    ``version_by_arm`` has the version that each of that state's arms stands for. ``records`` has
    each answer's request record. ``scoring_seconds`` is by version. ``arms`` and ``users`` are what
    each arm's users got, and who they are; latencies are known, and counted, only once Kafka has
    confirmed the answers. ``samples`` are, while versions are being compared, the first requests
    that each arm's own version has answered: `streams.serving.probing` times them again, into
    ``scoring``. That is apart from ``arms``: meanwhile, in another thread, a refused answer may be
    counted there. ``failures`` has, of a version that could not score what another could, one of
    the reasons.
    """

    epoch: int | None = None
    version_by_arm: Mapping[Variant, str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    records: list[RawRecord] = field(default_factory=list)
    sent: list[SentRequests] = field(default_factory=list)
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

    def take_answers(
        self,
        group: Sequence[Routed],
        payloads: Sequence[bytes],
        reasons: Sequence[str | None],
        are_empty: Sequence[bool],
    ) -> None:
        """Take the answers to a group, which is not empty and has one version, and count them.

        `reasons` are those of fallbacks; `are_empty` says which answers have no items.
        """
        version = group[0].route.version
        self.records += [routed.record for routed in group]
        self.answers += [
            Answer(record.key, payload, request.request_id, version, record.timestamp, request, way)
            for (record, request, way), payload in zip(group, payloads, strict=True)
        ]
        variants = ["mixed" if way.partner else way.variant or "" for _, _, way in group]
        for variant, number in Counter(variants).items():
            self.counts[version, variant, "ok"] += number
        self._count_arms(group, reasons, are_empty)

    def _count_arms(
        self, group: Sequence[Routed], reasons: Sequence[str | None], are_empty: Sequence[bool]
    ) -> None:
        """Count a group by the arms that its users are in, whoever answers them."""
        version = group[0].route.version
        sent_ms: defaultdict[Variant | None, list[int]] = defaultdict(list)
        fallbacks: Counter[Variant | None] = Counter()
        empty: Counter[Variant | None] = Counter()
        for (record, _, way), reason, is_empty in zip(group, reasons, are_empty, strict=True):
            sent_ms[way.arm].append(record.timestamp)
            if reason is not None:
                self.fallbacks[reason] += 1
                fallbacks[way.arm] += 1
            if is_empty:
                empty[way.arm] += 1
        for arm, timestamps in sent_ms.items():
            self.sent.append(SentRequests(version, arm, np.array(timestamps, np.int64)))
            if arm is not None:
                self.count(
                    ArmCounts(
                        arm,
                        self.version_by_arm[arm],
                        requests=len(timestamps),
                        fallbacks=fallbacks[arm],
                        empty=empty[arm],
                    )
                )

    def take_refusal(
        self,
        record: RawRecord,
        request: Request,
        payload: bytes,
        status: AnswerStatus,
        way: Route | None,
    ) -> None:
        """Take the answer to a request that gets no items, and count it in its user's arm."""
        self.records.append(record)
        self.answers.append(
            Answer(record.key, payload, request.request_id, "", record.timestamp, request)
        )
        version, variant = (way.version, way.variant or "") if way else ("", "")
        self.counts[version, variant, status] += 1
        if way is not None and way.arm is not None:
            self.count(ArmCounts(way.arm, self.version_by_arm[way.arm], requests=1, errors=1))
            self.users[way.arm] |= request.users

    def compare(self, group: Sequence[Routed]) -> None:
        """Note by what versions are compared: who asks in each arm, and samples of what."""
        users, samples, version_by_arm = self.users, self.samples, self.version_by_arm
        for _, request, way in group:
            if way.arm is not None:
                users[way.arm] |= request.users
                is_own = request.is_plain and way.version == version_by_arm[way.arm]
                if is_own and len(samples[way.arm]) < SAMPLES_AN_ARM:
                    samples[way.arm].append(request)

    def count(self, counts: ArmCounts) -> None:
        """Add `counts` to those of their arm."""
        known = self.arms.get(counts.variant)
        self.arms[counts.variant] = counts if known is None else known.add(counts)
