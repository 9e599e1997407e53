"""Answering: a batch of raw request records becomes answers and dead letters.

No Kafka client, no Faust, no clock: records, rules, models and the time come in as arguments. Runs
in the scoring thread. One scoring call per model version; a record that cannot be used harms only
itself.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from registry.error_codes import AnswerCode, FallbackCode
from registry.errors import RecordError
from registry.rollout.assignment import arms_of, is_shadowed
from registry.rollout.transitions import is_compared
from registry.versions.model import Model, Recommendation
from registry.wire.codec import decode, encode
from registry.wire.field_types import AnswerError, Variant
from registry.wire.requests import Request
from registry.wire.responses import AnswerStatus, Provenance, Response
from streams.raw_record import RawRecord
from streams.serving.batch import Answer, Batch, DeadLetter, Origin, Sent, Shadowed
from streams.serving.durations import is_expired, latency_ms
from streams.serving.routing import Route, Rules, pinned_route, route

SAMPLES_AN_ARM: Final = 3
"""Requests of a batch and arm that may be timed. Times in a row resemble one another: more of them
would look like more evidence than they are."""


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
        error = AnswerError(AnswerCode.NO_VERSION, why)
        _refuse(record, request, using, batch, "error", error)
        return None
    if request.model_version is None:
        return _Routed(record, request, route(request.user_id, rules))
    pinned = pinned_route(request, rules)
    if pinned is None:
        error = AnswerError(
            AnswerCode.UNKNOWN_VERSION,
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
    why = AnswerError(AnswerCode.INTERNAL, f"{model.version} could not score this: {error!r}")
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
        mistyped = model.knows_other_type_of(request.user_id)
        reason = FallbackCode.USER_ID_OF_OTHER_TYPE if mistyped else FallbackCode.UNKNOWN_USER
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
