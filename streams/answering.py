"""Answering: a batch of raw request records becomes answers and dead letters.

No Kafka client, no Faust, no clock: records, rules, models and the time come in as arguments. Runs
in the scoring thread. One scoring call per model version; a record that cannot be used harms only
itself.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from registry.assignment import arms_of, is_shadowed
from registry.errors import RecordError
from registry.ids import UserId
from registry.model import Model, Recommendation
from registry.records import (
    AnswerError,
    AnswerStatus,
    Item,
    Provenance,
    Request,
    Response,
    Variant,
    decode,
    encode,
)
from registry.rollout import is_compared
from streams.latencies import is_expired, latency_ms
from streams.routing import Route, Rules, pinned_route, route

UNKNOWN_USER: Final = "unknown_user"
"""The version has no factors for the user, so popular items answer."""


SAMPLES_AN_ARM: Final = 3
"""Requests of a batch and arm that may be timed. Times in a row resemble one another: more of them
would look like more evidence than they are."""


class RawRecord(Protocol):
    """What a consumer hands over: one record of the request topic."""

    topic: str
    partition: int
    offset: int
    timestamp: Any
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class DeadLetter(NamedTuple):
    """A record that cannot be used, and why."""

    record: RawRecord
    error: RecordError


@dataclass(frozen=True, slots=True)
class Origin:
    """The part of an answer's provenance that is the same for all answers of a worker."""

    environment: str
    worker: str


@dataclass(frozen=True, slots=True)
class Answering:
    """All that a batch is answered with.

    ``rules`` is None while no version can be served: every answer is then an error ``no_version``.
    ``clock_ms`` is the wall clock in milliseconds since the epoch, like the records' timestamps;
    ``timer`` counts seconds from anywhere, and never goes back: durations are measured by it.
    ``received_ms`` is when the last of the batch was read, by the same clock as ``clock_ms``.
    """

    origin: Origin
    rules: Rules | None
    models: Mapping[str, Model]
    max_request_bytes: int
    threads: int
    clock_ms: Callable[[], float]
    timer: Callable[[], float]
    received_ms: float = math.inf


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
    """

    key: bytes | None
    request: Request
    items: list[Item]
    epoch: int
    primary_version: str
    canary_version: str
    primary_seconds: float


@dataclass(slots=True)
class Tally:
    """What one arm's users got in one batch, for the guardrails; ``scoring`` in seconds."""

    requests: int = 0
    errors: int = 0
    fallbacks: int = 0
    empty: int = 0
    users: set[UserId] = field(default_factory=set)
    scoring: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """What became of one batch of records, under the state of ``epoch``.

    ``records`` has each answer's request record. ``scoring_seconds`` is by version. ``samples``
    are, while versions are being compared, the first requests that each arm's own version has
    answered; `streams.probing` times them again with these ``versions``.
    """

    epoch: int | None = None
    answers: list[Answer] = field(default_factory=list)
    records: list[RawRecord] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    scoring_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    arms: defaultdict[Variant, Tally] = field(default_factory=lambda: defaultdict(Tally))
    versions: dict[Variant, str] = field(default_factory=dict)
    samples: defaultdict[Variant, list[Request]] = field(default_factory=lambda: defaultdict(list))
    shadowed: list[Shadowed] = field(default_factory=list)


class _Routed(NamedTuple):
    record: RawRecord
    request: Request
    route: Route


def answer_batch(records: Iterable[RawRecord], using: Answering) -> Batch:
    """Answer `records`, in any number and of any content."""
    acting = using.rules.acting if using.rules else None
    batch = Batch(acting.epoch if acting else None)
    now_ms = using.clock_ms()
    by_version: defaultdict[str, list[_Routed]] = defaultdict(list)
    for record in records:
        try:
            request = decode(Request, record.value, using.max_request_bytes)
        except RecordError as error:
            batch.dead_letters.append(DeadLetter(record, error))
            continue
        routed = _route(record, request, using, batch, now_ms)
        if routed is not None:
            by_version[routed.route.version].append(routed)
    for version, group in by_version.items():
        _answer_group(using.models[version], group, using, batch)
    return batch


def _route(
    record: RawRecord, request: Request, using: Answering, batch: Batch, now_ms: float
) -> _Routed | None:
    deadline_ms = request.deadline_ms
    if deadline_ms is not None and is_expired(
        record.timestamp, deadline_ms, using.received_ms, now_ms
    ):
        _refuse(record, request, using, batch, "expired", None)
        return None
    rules = using.rules
    if rules is None:
        why = "no version is put out yet, or none could be loaded here: /readyz says which"
        error = AnswerError("no_version", why)
        _refuse(record, request, using, batch, "error", error)
        return None
    if request.model_version is None:
        return _Routed(record, request, route(request.user_id, rules))
    pinned = pinned_route(request, rules)
    if pinned is None:
        error = AnswerError(
            "unknown_version",
            f"model_version {request.model_version!r} is not in memory here; these are: "
            f"{', '.join(sorted(using.models))}",
        )
        _refuse(record, request, using, batch, "error", error)
        return None
    return _Routed(record, request, pinned)


def _refuse(
    record: RawRecord,
    request: Request,
    using: Answering,
    batch: Batch,
    status: AnswerStatus,
    error: AnswerError | None,
    way: Route | None = None,
) -> None:
    response = Response(
        request_id=request.request_id,
        user_id=request.user_id,
        status=status,
        provenance=_provenance(record, using, using.clock_ms(), None, None),
        error=error,
    )
    batch.records.append(record)
    batch.answers.append(
        Answer(
            record.key,
            encode(response),
            request.request_id,
            "",
            record.timestamp,
            request=request,
        )
    )
    batch.counts[way.version if way else "", (way.variant or "") if way else "", status] += 1
    if way is not None and way.arm is not None:
        batch.arms[way.arm].requests += 1
        batch.arms[way.arm].errors += 1
        batch.arms[way.arm].users.add(request.user_id)


def _answer_group(model: Model, group: Sequence[_Routed], using: Answering, batch: Batch) -> None:
    started = using.timer()
    try:
        found = model.recommend([routed.request for routed in group], threads=using.threads)
    except Exception as error:  # a bug in scoring must cost one answer, not the whole fleet
        _answer_one_by_one(error, model, group, using, batch)
        return
    seconds = using.timer() - started
    now_ms = using.clock_ms()
    batch.scoring_seconds[model.version] += seconds
    for routed, recommendation in zip(group, found, strict=True):
        batch.records.append(routed.record)
        batch.answers.append(_answer(model, routed, recommendation, using, batch, now_ms))
    for variant, count in Counter(routed.route.variant for routed in group).items():
        batch.counts[model.version, variant or "", "ok"] += count
    _tally(group, using, batch)
    _put_in_shadow(group, found, seconds / len(group), using, batch)


def _tally(group: Sequence[_Routed], using: Answering, batch: Batch) -> None:
    sent_ms: defaultdict[Variant | None, list[int]] = defaultdict(list)
    for record, _, way in group:
        sent_ms[way.arm].append(record.timestamp)
    for arm, timestamps in sent_ms.items():
        batch.sent.append(Sent(group[0].route.version, arm, np.array(timestamps, np.int64)))
        if arm is not None:
            batch.arms[arm].requests += len(timestamps)
    if using.rules is None or not is_compared(using.rules.acting):
        return
    arms = arms_of(using.rules.acting)
    for _, request, way in group:
        if way.arm is not None:
            batch.arms[way.arm].users.add(request.user_id)
            if way.arm == arms.get(way.version) and len(batch.samples[way.arm]) < SAMPLES_AN_ARM:
                batch.versions[way.arm] = way.version
                batch.samples[way.arm].append(request)


def _put_in_shadow(
    group: Sequence[_Routed],
    found: Sequence[Recommendation],
    seconds: float,
    using: Answering,
    batch: Batch,
) -> None:
    acting = using.rules.acting if using.rules else None
    if acting is None or acting.strategy != "shadow" or acting.canary_version is None:
        return
    primary, canary = acting.primary_version, acting.canary_version
    for (record, request, way), answer in zip(group, found, strict=True):
        if way.arm is not None and is_shadowed(request.user_id, acting):
            batch.shadowed.append(
                Shadowed(record.key, request, answer.items, acting.epoch, primary, canary, seconds)
            )


def _answer_one_by_one(
    error: Exception, model: Model, group: Sequence[_Routed], using: Answering, batch: Batch
) -> None:
    if len(group) > 1:
        for routed in group:
            _answer_group(model, [routed], using, batch)
        return
    why = AnswerError("internal", f"{model.version} could not score this: {error!r}")
    record, request, way = group[0]
    _refuse(record, request, using, batch, "error", why, way)


def _answer(
    model: Model,
    routed: _Routed,
    found: Recommendation,
    using: Answering,
    batch: Batch,
    now_ms: float,
) -> Answer:
    record, request, way = routed
    reason = way.fallback_reason
    if reason is None and found.source == "popular":
        reason = UNKNOWN_USER
    if reason is not None:
        batch.fallbacks[reason] += 1
    if way.arm is not None and (reason is not None or not found.items):
        batch.arms[way.arm].fallbacks += reason is not None
        batch.arms[way.arm].empty += not found.items
    response = Response(
        request_id=request.request_id,
        user_id=request.user_id,
        status="ok",
        provenance=_provenance(record, using, now_ms, model, way.bucket),
        items=found.items,
        model_version=model.version,
        variant=way.variant,
        source=found.source,
        assigned_version=way.assigned_version,
        fallback_reason=reason,
    )
    return Answer(
        record.key,
        encode(response),
        request.request_id,
        model.version,
        record.timestamp,
        request,
        way,
    )


def _provenance(
    record: RawRecord, using: Answering, now_ms: float, model: Model | None, bucket: int | None
) -> Provenance:
    acting = using.rules.acting if using.rules else None
    manifest = model.manifest if model else None
    return Provenance(
        environment=using.origin.environment,
        worker=using.origin.worker,
        latency_ms=latency_ms(record.timestamp, now_ms),
        strategy=acting.strategy if acting else None,
        rollout_epoch=acting.epoch if acting else None,
        bucket=bucket,
        git_sha=manifest.git_sha if manifest else None,
        data_snapshot=manifest.data_snapshot.id if manifest else None,
        image_digest=manifest.image_digest if manifest else None,
    )
