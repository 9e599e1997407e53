"""Refused answers: what a request gets if Kafka will never accept its answer, and how that counts.

Pure except for the batch, whose counts are corrected. An answer with items becomes an error answer,
which is small; if that is refused too, or there were no items, the request itself becomes a dead
letter. Must not know how refusals are found (`streams.delivery.producer`).
"""

from __future__ import annotations

from msgspec.structs import replace

from registry.error_codes import RefusalCause, RefusedAnswerCode
from registry.errors import RecordError
from registry.wire.codec import decode, encode
from registry.wire.counts import ArmCounts
from registry.wire.field_types import AnswerError
from registry.wire.responses import Response
from streams.delivery.dead_letters import dead_letter_record
from streams.delivery.outgoing import Outgoing, Refusal
from streams.serving.batch_results import Answer, Batch, DeadLetter


class RefusedAnswers:
    """Replaces the refused answers of one batch.

    Parameters
    ----------
    batch
        Its answers, in the order in which they are sent.
    dead_letter_topic
        Where requests go that nothing can be answered to.
    worker
        This one's name, for dead letters.
    """

    def __init__(self, batch: Batch, dead_letter_topic: str, worker: str) -> None:
        self._batch = batch
        self._dead_letter_topic = dead_letter_topic
        self._worker = worker

    def instead(self, refusal: Refusal) -> Outgoing:
        """Return what is sent in place of the answer that was refused, and count it as that."""
        place, batch = refusal.place, self._batch
        answer = batch.answers[place]
        response = decode(Response, answer.payload)
        if response.status != "ok":
            return self._dead_letter(place, refusal)
        cause = refusal.cause
        error = AnswerError(RefusedAnswerCode[cause.name], _sentence(answer, refusal))
        refused = replace(
            response,
            status="error",
            items=[],
            model_version=None,
            variant=None,
            source=None,
            assigned_version=None,
            fallback_reason=None,
            versions={},
            error=error,
        )
        batch.answers[place] = answer._replace(payload=encode(refused))
        count_as_error(batch, answer, response)
        return refusal.record._replace(
            value=batch.answers[place].payload,
            instead=lambda again: self._dead_letter(place, again),
        )

    def _dead_letter(self, place: int, refusal: Refusal) -> Outgoing:
        batch, record, cause = self._batch, self._batch.records[place], refusal.cause
        error = RecordError(_sentence(batch.answers[place], refusal), RefusedAnswerCode[cause.name])
        batch.dead_letters.append(DeadLetter(record, error))
        return dead_letter_record(self._dead_letter_topic, record, error, self._worker)


def count_as_error(batch: Batch, answer: Answer, response: Response) -> None:
    """Count an answer that was ``ok`` as an error: of its version, and of its user's arm."""
    variant = response.counted_as
    batch.counts[answer.version, variant, "ok"] -= 1
    batch.counts[answer.version, variant, "error"] += 1
    if response.fallback_reason is not None:
        batch.fallbacks[response.fallback_reason] -= 1
    if answer.way is not None and answer.way.arm is not None:
        arm = batch.arms[answer.way.arm]
        fallbacks = -1 if response.fallback_reason is not None else 0
        empty = 0 if response.items else -1
        batch.count(ArmCounts(arm.variant, arm.version, errors=1, fallbacks=fallbacks, empty=empty))


def _sentence(answer: Answer, refusal: Refusal) -> str:
    record = refusal.record
    key = "none" if record.key is None else record.key.decode(errors="backslashreplace")
    size = len(record.value or b"")
    return (
        f"Kafka refuses the answer to request {answer.request_id} for good (topic {record.topic}, "
        f"key {key}, {size} bytes): {refusal.why}. {REMEDY[refusal.cause]}"
    )


REMEDY = {
    RefusalCause.TOO_LARGE: "Ask for fewer items, or raise the topic's max.message.bytes",
    RefusalCause.INVALID: "Compare the topic's configuration with `recstream topics check`",
    RefusalCause.UNAUTHORIZED: "Allow the worker's principal to write to the topic",
}
"""What to do, by cause."""
