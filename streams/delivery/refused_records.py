"""Refused records: counted, and reported with topic, key and subject.

Each kind has its rule where it is sent; this is what they have in common:

==================  ==================================  =======================
refused             sent in its place                   if that is refused too
==================  ==================================  =======================
answer              an error answer                     the request, set aside
                    (`streams.serving.undelivered_answers`)
dead letter         one without its value               nothing
control result      one without the states before and   nothing; the command
                    after                               stands
comparison          nothing; counted as a failed one
heartbeat           one without counts and failures     nothing; the next one
                                                        is due
command             nothing; its sender is notified
==================  ==================================  =======================
"""

from __future__ import annotations

import logging
import time
from typing import Final

import msgspec
from msgspec import Struct

from registry.errors import RecordError
from registry.wire.codec import decode
from streams.delivery.outgoing import Refusal
from streams.metrics import Metrics

logger = logging.getLogger(__name__)

QUIET_SECONDS: Final = 10.0
"""Between two log lines of one topic and cause: a thousand a second would say the same."""


class Subject(Struct, frozen=True):
    """What a record is about: the ids that our records have."""

    request_id: str | None = None
    command_id: str | None = None
    instance: str | None = None


class RefusedRecords:
    """Counts refusals and reports them. Pass `note` to a `Delivery`."""

    def __init__(self, metrics: Metrics) -> None:
        self._counter = metrics.records_refused
        self._logged_at: dict[tuple[str, str], float] = {}
        self._silent: dict[tuple[str, str], int] = {}

    def note(self, refusal: Refusal) -> None:
        """Count `refusal`; log it, unless its like was logged a moment ago."""
        kind = refusal.record.topic, refusal.cause
        self._counter.labels(*kind).inc()
        now = time.monotonic()
        if now - self._logged_at.get(kind, -QUIET_SECONDS) < QUIET_SECONDS:
            self._silent[kind] = self._silent.get(kind, 0) + 1
            return
        self._logged_at[kind] = now
        more = self._silent.pop(kind, 0)
        logger.warning(
            "Kafka refuses a record for good (%s): %s%s",
            refusal.why,
            describe(refusal),
            f"; {more} more like it since the last line" if more else "",
        )


def describe(refusal: Refusal) -> str:
    """Return the topic, the key, the size and the subject of the record that was refused."""
    topic, key, value, *_ = refusal.record
    try:
        subject = decode(Subject, value)
    except RecordError:  # a dead letter's value may be anything
        subject = Subject()
    ids = {
        name: value for name, value in msgspec.structs.asdict(subject).items() if value is not None
    }
    about = "".join(f", {name} {value!r}" for name, value in ids.items())
    return f"topic {topic}, key {key!r}, {len(value or b'')} bytes{about}"
