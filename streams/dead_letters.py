"""Dead letters: a record that cannot be used, byte for byte, with why and where from in headers.

Pure. Knows the headers; must not know who sends the record.
"""

from __future__ import annotations

from registry.errors import RecordError
from streams.answering import RawRecord
from streams.delivery import Outgoing


def dead_letter_record(topic: str, record: RawRecord, error: RecordError, worker: str) -> Outgoing:
    """Return the record for the dead-letter `topic`: key and value as they came, plus headers."""
    headers: dict[str, str | bytes | None] = {
        "reason": error.code,
        "error": str(error),
        "source_topic": record.topic,
        "source_partition": str(record.partition),
        "source_offset": str(record.offset),
        "worker": worker,
    }
    return Outgoing(topic, record.key, record.value, list(headers.items()))
