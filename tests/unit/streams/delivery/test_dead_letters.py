"""Dead letters: the record byte for byte, with why and where from."""

from __future__ import annotations

from harness.builders import a_record
from harness.cells import each_cell

from registry.error_codes import RecordCode, RefusalCause
from registry.errors import RecordError
from streams.delivery.dead_letters import dead_letter_record
from streams.delivery.outgoing import Refusal

WRONG = RecordError("Request: the record is empty", RecordCode.EMPTY)


@each_cell(("key", "value"), [(b"\x00\xff", b"\xff{"), (None, b"{}"), (b"1", None), (b"", b"")])
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


def test_the_sources_headers_come_before_ours() -> None:
    source = a_record(b"", headers=(("traceparent", b"00-1"), ("reason", b"theirs")))
    dead = dead_letter_record("reco.dead-letter", source, WRONG, "w1")
    assert dead.headers is not None
    assert dead.headers[:3] == [
        ("traceparent", b"00-1"),
        ("reason", b"theirs"),
        ("reason", "empty"),
    ]
    assert dict(dead.headers)["reason"] == "empty"


def test_a_dead_letter_that_is_refused_goes_without_its_value_and_says_so() -> None:
    dead = dead_letter_record("reco.dead-letter", a_record(b"12345"), WRONG, "w1")
    assert dead.instead is not None
    small = dead.instead(Refusal(0, dead, RefusalCause.TOO_LARGE, "too large"))
    assert small is not None
    assert (small.key, small.value, small.instead) == (dead.key, None, None)
    assert small.headers == [
        *(dead.headers or []),
        ("value_bytes", "5"),
        ("value_left_out", "too_large"),
    ]
