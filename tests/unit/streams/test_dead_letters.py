"""Dead letters: the record byte for byte, with why and where from."""

from __future__ import annotations

import pytest
from harness.builders import a_record

from registry.errors import RecordError
from streams.dead_letters import dead_letter_record

WRONG = RecordError("Request: the record is empty", "empty")


@pytest.mark.parametrize(
    ("key", "value"), [(b"\x00\xff", b"\xff{"), (None, b"{}"), (b"1", None), (b"", b"")]
)
def test_key_and_value_stay_byte_for_byte(key: bytes | None, value: bytes | None) -> None:
    dead = dead_letter_record("reco.dead-letter", a_record(value, key=key), WRONG, "w1")
    assert (dead.topic, dead.key, dead.value) == ("reco.dead-letter", key, value)


def test_the_headers_tell_why_and_where_from() -> None:
    source = a_record(b"", topic="reco.requests", partition=3, offset=41)
    dead = dead_letter_record("reco.dead-letter", source, WRONG, "w1")
    assert dead.headers == [
        ("reason", "empty"),
        ("error", "Request: the record is empty"),
        ("source_topic", "reco.requests"),
        ("source_partition", "3"),
        ("source_offset", "41"),
        ("worker", "w1"),
    ]
