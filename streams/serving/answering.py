"""Answering: a batch of raw request records becomes answers and dead letters.

No Kafka client, no Faust, no clock: records, rules, models and the time come in as arguments. Runs
in the scoring threads, and for a few requests on the event loop (`streams.serving.pipeline`). One
scoring call per model version; an unusable record affects only itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from registry.answers.recommendation import Recommendation
from registry.error_codes import AnswerCode
from registry.errors import RecordError
from registry.fresh.fresh_sight import FreshSight
from registry.interleaving.team_draft import Team
from registry.rollout.assignment import arms_of, is_shadowed
from registry.rollout.current_phase import is_compared
from registry.versions.model import Model
from registry.wire.codec import encode
from registry.wire.field_types import AnswerError
from registry.wire.requests import Request
from registry.wire.responses import AnswerStatus
from streams.delivery.unreadable_requests import read_requests
from streams.raw_record import RawRecord
from streams.serving.answer_writing import AnswerWriter
from streams.serving.batch_results import Batch, DeadLetter, Origin, Routed, Shadowed
from streams.serving.deadline_and_latency import is_expired
from streams.serving.error_answers import (
    bad_combination,
    no_version,
    unknown_label,
    unknown_version,
)
from streams.serving.fallback_reasons import fallback_of
from streams.serving.fresh_answers import named_in, recommend_seeing
from streams.serving.interleaved_answers import Both, Scored, score_each, settle
from streams.serving.routing import Route, Routes, RoutingRules, pinned_route, route


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
        self._is_compared = acting is not None and is_compared(acting)
        self._writer = AnswerWriter(using.origin, acting, using.sight)
        arms = arms_of(acting) if acting else {}
        self.batch = Batch(
            acting.epoch if acting else None,
            version_by_arm={arm: version for version, arm in arms.items()},
        )

    def answer(self, records: Iterable[RawRecord]) -> Batch:
        """Decode, route and score `records`."""
        using, batch = self._using, self.batch
        now_ms = using.clock_ms()
        groups: defaultdict[tuple[str, str | None], list[Routed]] = defaultdict(list)
        asked = list(records)
        requests = read_requests([record.value for record in asked], using.max_request_bytes)
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

    def _route(self, record: RawRecord, request: Request, now_ms: float) -> Routed | None:
        """Return who answers a request; None if it was refused at once."""
        if self._routes is not None and request.is_common:
            return Routed(record, request, self._routes.of(request.key))
        routed = self._route_uncommon(record, request, now_ms)
        return self._answerable(routed) if routed is not None else None

    def _route_uncommon(self, record: RawRecord, request: Request, now_ms: float) -> Routed | None:
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
            return Routed(record, request, route(request.key, rules))
        pinned = pinned_route(request, rules)
        if pinned is None:
            self._refuse(record, request, "error", unknown_version(request, self._using.models))
            return None
        return Routed(record, request, pinned)

    def _answerable(self, routed: Routed) -> Routed | None:
        """Refuse what the version of its route cannot answer; leave out a partner that cannot."""
        record, request, way = routed
        error = unknown_label(request, self._using.models[way.version])
        if error is not None:
            self._refuse(record, request, "error", error, way)
            return None
        if way.partner and unknown_label(request, self._using.models[way.partner]) is not None:
            return routed._replace(route=way.alone(way.version, way.partner))
        return routed

    def _refuse(
        self,
        record: RawRecord,
        request: Request,
        status: AnswerStatus,
        error: AnswerError | None,
        way: Route | None = None,
    ) -> None:
        payload = self._writer.refusal(record, request, status, error, self._using.clock_ms())
        self.batch.take_refusal(record, request, payload, status, way)

    def _answer_group(self, model: Model, group: Sequence[Routed]) -> None:
        using = self._using
        started = using.timer()
        try:
            found = self._score(model, [routed.request for routed in group])
        except Exception as error:  # a bug in scoring must cost one answer, not the whole fleet
            self._answer_singly(error, model, group)
            return
        seconds = using.timer() - started
        self.batch.scoring_seconds[model.version] += seconds
        self._hand_over(model, group, found)
        self._put_in_shadow(group, found, seconds / len(group))

    def _score(self, model: Model, asked: Sequence[Request]) -> list[Recommendation]:
        using = self._using
        return recommend_seeing(model, asked, using.sight, using.threads, named_in(self._acting))

    def _hand_over(
        self, model: Model, group: Sequence[Routed], found: Sequence[Recommendation]
    ) -> None:
        """Answer a group with what `model` found."""
        now_ms = self._using.clock_ms()
        reasons = [
            routed.route.fallback_reason or fallback_of(routed.request, model, made.source)
            for routed, made in zip(group, found, strict=True)
        ]
        payloads = self._writer.answers(model, group, found, reasons, now_ms)
        self.batch.take_answers(group, payloads, reasons, [made.is_empty for made in found])
        if self._is_compared:
            self.batch.compare(group)

    def _answer_mixed(self, primary: Model, canary: Model, group: Sequence[Routed]) -> None:
        """Answer a group from the lists of both versions, where both have one."""
        asked = [routed.request for routed in group]
        found = [self._score_each(model, asked) for model in (primary, canary)]
        mixed: list[tuple[Routed, Both]] = []
        alone: dict[Team, list[tuple[Routed, Recommendation]]] = {"primary": [], "canary": []}
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
                way = routed.route.alone(own, other if made.is_missed else None)
                alone[made.team].append((routed._replace(route=way), made.found))
        for model, answers in ((primary, alone["primary"]), (canary, alone["canary"])):
            if answers:
                self._hand_over(model, *zip(*answers, strict=True))
        if mixed:
            self._hand_over_mixed(primary, canary, mixed)

    def _score_each(self, model: Model, asked: Sequence[Request]) -> list[Scored]:
        started = self._using.timer()
        found = score_each(model, asked, self._score)
        self.batch.scoring_seconds[model.version] += self._using.timer() - started
        for made in found:
            if isinstance(made, Exception):
                self.batch.failures[model.version] = repr(made)
        return found

    def _hand_over_mixed(
        self, primary: Model, canary: Model, group: Sequence[tuple[Routed, Both]]
    ) -> None:
        """Answer a group with the lists of both versions."""
        responses = self._writer.mixed(primary, canary, group, self._using.clock_ms())
        self.batch.take_answers(
            [routed for routed, _ in group],
            [encode(response) for response in responses],
            [None] * len(group),
            [not response.items for response in responses],
        )
        if self._is_compared:
            self.batch.compare([routed for routed, _ in group])

    def _answer_singly(self, error: Exception, model: Model, group: Sequence[Routed]) -> None:
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

    def _put_in_shadow(
        self, group: Sequence[Routed], found: Sequence[Recommendation], seconds: float
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
