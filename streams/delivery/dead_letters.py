"""Dead letters: a record that cannot be used, byte for byte, with reason and source in its headers.

Pure. Knows the headers; must not know who sends the record.
"""

from __future__ import annotations

from registry.errors import RecordError
from streams.delivery.header_passthrough import copy_headers
from streams.delivery.outgoing import Headers, Outgoing, Refusal
from streams.raw_record import RawRecord


def dead_letter_record(topic: str, record: RawRecord, error: RecordError, worker: str) -> Outgoing:
    """Return the record for the dead-letter `topic`: key and value as they came, plus headers.

    The source's own headers come first, then ours: where names are the same, the last counts. If
    Kafka does not take it, it is sent without its value: the source's offset says where that is.
    """
    ours: Headers = [
        ("reason", error.code),
        ("error", str(error)),
        ("source_topic", record.topic),
        ("source_partition", str(record.partition)),
        ("source_offset", str(record.offset)),
        ("worker", worker),
    ]
    headers = [*copy_headers(record.headers), *ours] if record.headers else ours
    return Outgoing(topic, record.key, record.value, headers, _without_value)


def _without_value(refusal: Refusal) -> Outgoing | None:
    letter = refusal.record
    size = len(letter.value or b"")
    left_out: Headers = [("value_bytes", str(size)), ("value_left_out", refusal.cause)]
    return letter._replace(value=None, headers=[*(letter.headers or ()), *left_out], instead=None)
