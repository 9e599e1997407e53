"""Writing answers: the bytes of an answer, or of an error, and the record that carries them.

Pure. Must not know who routes, scores or counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from registry.answers.answer_bytes import Filling, Form, form_of, write_answers
from registry.answers.recommendation import Recommendation
from registry.fresh.fresh_sight import FreshSight
from registry.versions.model import Model
from registry.wire.codec import encode
from registry.wire.field_types import AnswerError
from registry.wire.requests import Request
from registry.wire.responses import AnswerStatus, Provenance, Response
from registry.wire.rollout_state import RolloutState
from streams.delivery.header_passthrough import copy_headers
from streams.delivery.outgoing import Outgoing, Refusal
from streams.raw_record import RawRecord
from streams.serving.answer_provenance import count_unknown_items, provenance_of
from streams.serving.batch_results import Batch, Origin, Routed
from streams.serving.deadline_and_latency import latency_ms
from streams.serving.interleaved_answers import Both, mix, provenance_of_both


@dataclass(frozen=True, slots=True)
class AnswerWriter:
    """Writes the answers of one batch; ``now_ms`` is the wall clock, like records' timestamps.

    Parameters
    ----------
    origin
        This worker.
    acting
        The state that is acted on; None while no version can be served.
    sight
        What users did since; None where nobody looks.
    """

    origin: Origin
    acting: RolloutState | None
    sight: FreshSight | None

    def refusal(
        self,
        record: RawRecord,
        request: Request,
        status: AnswerStatus,
        error: AnswerError | None,
        now_ms: float,
    ) -> bytes:
        """Write the answer to a request that gets no items."""
        return encode(
            Response(
                request_id=request.request_id,
                user_id=request.user_id,
                session_id=request.session_id,
                status=status,
                provenance=self._provenance(record, now_ms),
                error=error,
            )
        )

    def answers(
        self,
        model: Model,
        group: Sequence[Routed],
        found: Sequence[Recommendation],
        reasons: Sequence[str | None],
        now_ms: float,
    ) -> list[bytes]:
        """Write the answers of a group; those that differ in little share a form."""
        forms: dict[object, Form] = {}
        fillings = []
        for (record, request, way), made, reason in zip(group, found, reasons, strict=True):
            unknown = 0 if request.is_common else count_unknown_items(request, model.row_of)
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

    def mixed(
        self, primary: Model, canary: Model, group: Sequence[tuple[Routed, Both]], now_ms: float
    ) -> list[Response]:
        """Return the answers that both versions have made of a group together."""
        salt = self.acting.salt if self.acting else ""
        responses = []
        for (record, request, _), made in group:
            provenances = (
                self._provenance(record, now_ms, model, count_unknown_items(request, model.row_of))
                for model in (primary, canary)
            )
            responses.append(
                Response(
                    request_id=request.request_id,
                    user_id=request.user_id,
                    session_id=request.session_id,
                    status="ok",
                    provenance=provenance_of_both(*provenances),
                    items=mix(made.primary.items, made.canary.items, request, salt),
                    source=made.source,
                    versions={"primary": primary.version, "canary": canary.version},
                )
            )
        return responses

    def _provenance(
        self,
        record: RawRecord,
        now_ms: float,
        model: Model | None = None,
        unknown_items: int = 0,
    ) -> Provenance:
        origin, acting, sight = self.origin, self.acting, self.sight
        return provenance_of(record, now_ms, origin, acting, sight, model, unknown_items)


def answer_records(
    topic: str, batch: Batch, instead: Callable[[Refusal], Outgoing | None]
) -> list[Outgoing]:
    """Return the records of a batch's answers: each goes to the partition number of its request.

    Parameters
    ----------
    topic
        Of the answers; one that lacks the partition takes the answer by its key.
    batch
        The answers, each with its request.
    instead
        Makes what is sent if Kafka refuses one.
    """
    return [
        Outgoing(
            topic,
            answer.key,
            answer.payload,
            headers=copy_headers(request.headers) if request.headers else None,
            instead=instead,
            partition=request.partition,
        )
        for answer, request in zip(batch.answers, batch.records, strict=True)
    ]
