"""Answering: a batch of raw request records becomes answers and dead letters.

No Kafka client, no Faust, no clock: records, rules, models and the time come in as arguments. Runs
in the scoring thread. One scoring call per model version; an unusable record affects only itself.

Long because what is counted of an answer must stand beside where it is made.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from registry.answers.answer_bytes import Filling, Form, form_of, write_answers
from registry.answers.recommendation import Recommendation
from registry.error_codes import AnswerCode, FallbackCode
from registry.errors import RecordError
from registry.fresh.fresh_sight import FreshSight
from registry.interleaving.team_draft import Team
from registry.rollout.assignment import arms_of, is_shadowed
from registry.rollout.current_phase import is_compared
from registry.versions.model import Model
from registry.versions.narrowing import unknown_items
from registry.wire.codec import decode_each, encode
from registry.wire.counts import ArmCounts
from registry.wire.field_types import AnswerError, Variant
from registry.wire.requests import Request
from registry.wire.responses import AnswerStatus, Provenance, Response
from streams.raw_record import RawRecord
from streams.serving.answer_provenance import provenance_of
from streams.serving.batch_results import Answer, Batch, DeadLetter, Origin, Sent, Shadowed
from streams.serving.fallback_reasons import fallback_of
from streams.serving.interleaved_answers import (
    Both,
    Scored,
    mix,
    provenance_of_both,
    score_each,
    settle,
)
from streams.serving.record_times import is_expired, latency_ms
from streams.serving.request_refusals import (
    bad_combination,
    no_version,
    unknown_label,
    unknown_version,
)
from streams.serving.routing import Route, Routes, RoutingRules, pinned_route, route
from streams.serving.seen_answers import named_in, recommend_seeing

SAMPLES_AN_ARM: Final = 3
"""Most requests of one batch and arm that are timed: times in a row resemble one another."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Everything that a batch is answered with.

    ``rules`` is None while no version can be served: every answer is then an error ``no_version``.
    ``clock_ms`` is the wall clock in milliseconds since the epoch, like the records' timestamps.
    ``timer`` is a monotonic clock in seconds, by which durations are measured.
    ``received_ms`` is when the last of the batch was read, by the same clock as ``clock_ms``.
    ``sight`` is what users did since; None where nobody looks.
    """

    origin: Origin
    rules: RoutingRules | None
    models: Mapping[str, Model]
    max_request_bytes: int
    threads: int
    clock_ms: Callable[[], float]
    timer: Callable[[], float]
    received_ms: float = math.inf
    sight: FreshSight | None = None


class _Routed(NamedTuple):
    record: RawRecord
    request: Request
    route: Route

    def alone(self, version: str, missed: str | None) -> _Routed:
        """Return the same request, answered by one of two versions; `missed` cannot."""
        variant: Variant = "primary" if version == self.route.version else "canary"
        way = self.route._replace(version=version, variant=variant, partner=None)
        if missed is not None:
            way = way._replace(
                assigned_version=missed, fallback_reason=FallbackCode.NOT_INTERLEAVED
            )
        return self._replace(route=way)


def answer_batch(records: Iterable[RawRecord], using: Answering) -> Batch:
    """Answer `records`, in any number and of any content."""
    return _BatchAnswerer(using).answer(records)


class _BatchAnswerer:
    """Answers one batch; ``batch`` is what has come of it so far."""

    def __init__(self, using: Answering) -> None:
        self._using = using
        self._rules = using.rules
        self._routes = Routes(using.rules) if using.rules else None
        self._acting = acting = using.rules.acting if using.rules else None
        self._arm_by_version = arms_of(acting) if acting else {}
        self._version_by_arm = {arm: version for version, arm in self._arm_by_version.items()}
        self.batch = Batch(acting.epoch if acting else None)

    def answer(self, records: Iterable[RawRecord]) -> Batch:
        """Decode, route and score `records`."""
        using, batch = self._using, self.batch
        now_ms = using.clock_ms()
        groups: defaultdict[tuple[str, str | None], list[_Routed]] = defaultdict(list)
        asked = list(records)
        requests = decode_each(Request, [record.value for record in asked], using.max_request_bytes)
        for record, request in zip(asked, requests, strict=True):
            if isinstance(request, RecordError):
                batch.dead_letters.append(DeadLetter(record, request))
                continue
            routed = self._route(record, request, now_ms)
            if routed is not None:
                groups[routed.route.version, routed.route.partner].append(routed)
        for (version, partner), group in groups.items():
            if partner is None:
                self._answer_group(using.models[version], group)
            else:
                self._answer_mixed(using.models[version], using.models[partner], group)
        return batch

    def _route(self, record: RawRecord, request: Request, now_ms: float) -> _Routed | None:
        """Return who answers a request; None if it was refused at once."""
        if self._routes is not None and request.is_common:
            return _Routed(record, request, self._routes.of(request.key))
        routed = self._route_uncommon(record, request, now_ms)
        return self._answerable(routed) if routed is not None else None

    def _route_uncommon(self, record: RawRecord, request: Request, now_ms: float) -> _Routed | None:
        deadline_ms, rules = request.deadline_ms, self._rules
        if deadline_ms is not None and is_expired(
            record.timestamp, deadline_ms, self._using.received_ms, now_ms
        ):
            self._refuse(record, request, "expired", None)
            return None
        conflict = bad_combination(request)
        if conflict is not None:
            self._refuse(record, request, "error", conflict)
            return None
        if rules is None:
            self._refuse(record, request, "error", no_version())
            return None
        if request.model_version is None:
            return _Routed(record, request, route(request.key, rules))
        pinned = pinned_route(request, rules)
        if pinned is None:
            self._refuse(record, request, "error", unknown_version(request, self._using.models))
            return None
        return _Routed(record, request, pinned)

    def _answerable(self, routed: _Routed) -> _Routed | None:
        """Refuse what the version of its route cannot answer; leave out a partner that cannot."""
        record, request, way = routed
        error = unknown_label(request, self._using.models[way.version])
        if error is not None:
            self._refuse(record, request, "error", error, way)
            return None
        if way.partner and unknown_label(request, self._using.models[way.partner]) is not None:
            return routed.alone(way.version, way.partner)
        return routed

    def _refuse(
        self,
        record: RawRecord,
        request: Request,
        status: AnswerStatus,
        error: AnswerError | None,
        way: Route | None = None,
    ) -> None:
        response = Response(
            request_id=request.request_id,
            user_id=request.user_id,
            session_id=request.session_id,
            status=status,
            provenance=self._provenance(record, self._using.clock_ms()),
            error=error,
        )
        batch = self.batch
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
        version, variant = (way.version, way.variant or "") if way else ("", "")
        batch.counts[version, variant, status] += 1
        if way is not None and way.arm is not None:
            batch.count(ArmCounts(way.arm, self._version_by_arm[way.arm], requests=1, errors=1))
            batch.users[way.arm] |= request.users

    def _answer_group(self, model: Model, group: Sequence[_Routed]) -> None:
        using = self._using
        started = using.timer()
        try:
            found = self._score(model, [routed.request for routed in group])
        except Exception as error:  # a bug in scoring must cost one answer, not the whole fleet
            self._answer_singly(error, model, group)
            return
        seconds = using.timer() - started
        self.batch.scoring_seconds[model.version] += seconds
        self._send_group(model, group, found)
        self._put_in_shadow(group, found, seconds / len(group))

    def _score(self, model: Model, asked: Sequence[Request]) -> list[Recommendation]:
        using = self._using
        return recommend_seeing(model, asked, using.sight, using.threads, named_in(self._acting))

    def _send_group(
        self, model: Model, group: Sequence[_Routed], found: Sequence[Recommendation]
    ) -> None:
        """Answer a group with what `model` found."""
        batch, now_ms = self.batch, self._using.clock_ms()
        fallbacks: dict[Variant, int] = {}
        empty: dict[Variant, int] = {}
        reasons = [
            routed.route.fallback_reason or fallback_of(routed.request, model, made.source)
            for routed, made in zip(group, found, strict=True)
        ]
        payloads = self._payloads(model, group, found, reasons, now_ms)
        for routed, recommendation, reason, payload in zip(
            group, found, reasons, payloads, strict=True
        ):
            record, request, way = routed
            batch.records.append(record)
            batch.answers.append(
                Answer(
                    record.key,
                    payload,
                    request.request_id,
                    model.version,
                    record.timestamp,
                    request,
                    way,
                )
            )
            if reason is not None:
                batch.fallbacks[reason] += 1
            arm = routed.route.arm
            if arm is not None and (reason is not None or recommendation.is_empty):
                fallbacks[arm] = fallbacks.get(arm, 0) + (reason is not None)
                empty[arm] = empty.get(arm, 0) + recommendation.is_empty
        for variant, count in Counter(routed.route.variant for routed in group).items():
            batch.counts[model.version, variant or "", "ok"] += count
        self._count_group(group, fallbacks, empty)

    def _answer_mixed(self, primary: Model, canary: Model, group: Sequence[_Routed]) -> None:
        """Answer a group from the lists of both versions, where both have one."""
        asked = [routed.request for routed in group]
        found = [self._score_each(model, asked) for model in (primary, canary)]
        mixed: list[tuple[_Routed, Both]] = []
        alone: dict[Team, list[tuple[_Routed, Recommendation]]] = {"primary": [], "canary": []}
        for routed, of_primary, of_canary in zip(group, *found, strict=True):
            made = settle(of_primary, of_canary)
            if isinstance(made, Both):
                mixed.append((routed, made))
            elif isinstance(made, Exception):
                self._answer_singly(made, primary, [routed])
            else:
                own, other = routed.route.version, routed.route.partner
                if made.team == "canary":
                    own, other = canary.version, primary.version
                single = routed.alone(own, other if made.is_missed else None)
                alone[made.team].append((single, made.found))
        for model, answers in ((primary, alone["primary"]), (canary, alone["canary"])):
            if answers:
                self._send_group(model, *zip(*answers, strict=True))
        self._send_mixed(primary, canary, mixed)

    def _score_each(self, model: Model, asked: Sequence[Request]) -> list[Scored]:
        started = self._using.timer()
        found = score_each(model, asked, self._score)
        self.batch.scoring_seconds[model.version] += self._using.timer() - started
        for made in found:
            if isinstance(made, Exception):
                self.batch.failures[model.version] = repr(made)
        return found

    def _send_mixed(
        self, primary: Model, canary: Model, group: Sequence[tuple[_Routed, Both]]
    ) -> None:
        batch, now_ms = self.batch, self._using.clock_ms()
        salt = self._acting.salt if self._acting else ""
        empty = 0
        for (record, request, way), made in group:
            items = mix(made.primary.items, made.canary.items, request, salt)
            provenances = (
                self._provenance(
                    record, now_ms, model, unknown_items=unknown_items(request, model.row_of)
                )
                for model in (primary, canary)
            )
            response = Response(
                request_id=request.request_id,
                user_id=request.user_id,
                session_id=request.session_id,
                status="ok",
                provenance=provenance_of_both(*provenances),
                items=items,
                source=made.source,
                versions={"primary": primary.version, "canary": canary.version},
            )
            batch.records.append(record)
            batch.answers.append(
                Answer(
                    record.key,
                    encode(response),
                    request.request_id,
                    primary.version,
                    record.timestamp,
                    request,
                    way,
                )
            )
            batch.counts[primary.version, response.counted_as, "ok"] += 1
            empty += not items
        if group:
            self._count_group([routed for routed, _ in group], {}, {"primary": empty})

    def _answer_singly(self, error: Exception, model: Model, group: Sequence[_Routed]) -> None:
        """Answer the requests of a group that could not be scored together one at a time."""
        if len(group) > 1:
            for routed in group:
                self._answer_group(model, [routed])
            return
        why = AnswerError(
            AnswerCode.INTERNAL, f"{model.version} could not score this request: {error!r}"
        )
        record, request, way = group[0]
        self._refuse(record, request, "error", why, way)

    def _payloads(
        self,
        model: Model,
        group: Sequence[_Routed],
        found: Sequence[Recommendation],
        reasons: Sequence[str | None],
        now_ms: float,
    ) -> list[bytes]:
        """Write the answers of a group; those that differ in little share a form."""
        forms: dict[object, Form] = {}
        fillings = []
        for (record, request, way), made, reason in zip(group, found, reasons, strict=True):
            unknown = 0 if request.is_common else unknown_items(request, model.row_of)
            session, partition, source = request.session_id, record.partition, made.source
            kind = way.variant, way.assigned_version, reason, source, partition, unknown, session
            form = forms.get(kind)
            if form is None:
                form = forms[kind] = form_of(
                    Response(
                        request_id="",
                        user_id=None,
                        session_id=session,
                        status="ok",
                        provenance=self._provenance(record, now_ms, model, unknown),
                        model_version=model.version,
                        variant=way.variant,
                        source=source,
                        assigned_version=way.assigned_version,
                        fallback_reason=reason,
                    )
                )
            latency = latency_ms(record.timestamp, now_ms)
            fillings.append(Filling(form, request.request_id, request.user_id, latency, way.bucket))
        return write_answers(fillings, found, model.texts)

    def _count_group(
        self,
        group: Sequence[_Routed],
        fallbacks: Mapping[Variant, int],
        empty: Mapping[Variant, int],
    ) -> None:
        """Count a group that one version has answered, by the arm that its users are in."""
        batch = self.batch
        sent_ms: defaultdict[Variant | None, list[int]] = defaultdict(list)
        for record, _, way in group:
            sent_ms[way.arm].append(record.timestamp)
        for arm, timestamps in sent_ms.items():
            batch.sent.append(Sent(group[0].route.version, arm, np.array(timestamps, np.int64)))
            if arm is not None:
                batch.count(
                    ArmCounts(
                        arm,
                        self._version_by_arm[arm],
                        requests=len(timestamps),
                        fallbacks=fallbacks.get(arm, 0),
                        empty=empty.get(arm, 0),
                    )
                )
        if self._acting is None or not is_compared(self._acting):
            return
        for _, request, way in group:
            if way.arm is not None:
                batch.users[way.arm] |= request.users
                is_own = request.is_plain and way.arm == self._arm_by_version.get(way.version)
                if is_own and len(batch.samples[way.arm]) < SAMPLES_AN_ARM:
                    batch.samples[way.arm].append(request)

    def _put_in_shadow(
        self, group: Sequence[_Routed], found: Sequence[Recommendation], seconds: float
    ) -> None:
        acting = self._acting
        if acting is None or acting.strategy != "shadow" or acting.canary_version is None:
            return
        primary, canary = acting.primary_version, acting.canary_version
        sight = self._using.sight
        self.batch.shadowed += (
            Shadowed(
                record.key, request, answer.items, acting.epoch, primary, canary, seconds, sight
            )
            for (record, request, way), answer in zip(group, found, strict=True)
            if way.arm is not None and is_shadowed(request.key, acting)
        )

    def _provenance(
        self,
        record: RawRecord,
        now_ms: float,
        model: Model | None = None,
        unknown_items: int = 0,
    ) -> Provenance:
        using = self._using
        return provenance_of(
            record, now_ms, using.origin, self._acting, using.sight, model, unknown_items
        )
