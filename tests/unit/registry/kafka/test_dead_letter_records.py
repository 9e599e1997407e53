"""Letters: what the dead-letter topic holds is read as it was written, once, with what was done."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from harness.cells import each_cell

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.kafka.dead_letter_records import (
    Box,
    Letter,
    LetterMark,
    Source,
    Wanted,
    counts,
    letter_of,
    mark_headers,
    replay_headers,
)
from streams.delivery.dead_letters import dead_letter_record
from streams.delivery.outgoing import Refusal

SOURCE = Source("reco.requests", 3, 17)


def as_bytes(headers: Any) -> list[tuple[str, bytes | None]]:
    return [
        (name, header.encode() if isinstance(header, str) else header) for name, header in headers
    ]


def put_aside(headers: Any = (), value: bytes | None = b"{", refused: bool = False) -> Letter:
    """Return the letter as a worker writes it and Kafka gives it back."""
    record: Any = SimpleNamespace(
        topic=SOURCE.topic,
        partition=SOURCE.partition,
        offset=SOURCE.offset,
        key=b"7",
        value=value,
        headers=list(headers),
    )
    sent = dead_letter_record("dead", record, RecordError("no JSON", RecordCode.MALFORMED), "w1")
    if refused:
        assert sent.instead is not None
        instead = sent.instead(Refusal(0, sent, "too_large", "why"))
        assert instead is not None
        sent = instead
    letter = letter_of(5, 1000, sent.key, sent.value, as_bytes(sent.headers))
    assert isinstance(letter, Letter)
    return letter


def mark(what: Any, source: Source = SOURCE) -> LetterMark:
    record = letter_of(9, 2000, None, None, as_bytes(mark_headers(source, what, "anna")))
    assert isinstance(record, LetterMark)
    return record


def test_what_a_worker_puts_aside_is_read_as_a_letter() -> None:
    carried = [("traceparent", b"00-1"), ("empty", None)]
    assert put_aside(carried) == Letter(
        offset=5,
        at_ms=1000,
        source=SOURCE,
        reason="malformed",
        error="no JSON",
        worker="w1",
        key=b"7",
        value=b"{",
        headers=carried,
        left_out=None,
        value_bytes=1,
    )


def test_headers_of_the_source_are_never_taken_for_ours() -> None:
    confusing = [("reason", b"mine"), ("mark", b"dropped"), ("source_offset", b"1")]
    letter = put_aside(confusing)
    assert (letter.reason, letter.source, letter.headers) == ("malformed", SOURCE, confusing)


def test_a_value_that_kafka_did_not_take_is_said_to_be_left_out() -> None:
    letter = put_aside(value=b"x" * 99, refused=True)
    assert (letter.value, letter.left_out, letter.value_bytes) == (None, "too_large", 99)


@each_cell(
    "headers",
    [
        [],
        [("reason", b"malformed")],
        [("mark", b"replayed")],
        [("mark", b"burnt"), *as_bytes(mark_headers(SOURCE, "dropped", "anna"))[1:]],
        [("reason", None), ("source_topic", b"t"), ("source_partition", b"x")],
    ],
)
def test_any_other_record_is_foreign_and_counted(headers: Any) -> None:
    box = Box()
    box.add(letter_of(0, 0, b"k", b"v", headers))
    assert (list(box.letters()), box.foreign) == ([], 1)


def test_what_was_put_aside_twice_is_one_letter_and_the_newest_mark_counts() -> None:
    box = Box()
    other = replace(put_aside(), source=SOURCE._replace(offset=18), offset=7)
    for record in (put_aside(), replace(put_aside(), offset=6), other, mark("dropped")):
        box.add(record)
    box.add(mark("replayed"))
    assert [(letter.offset, letter.state, letter.value) for letter in box.letters()] == [
        (5, "replayed", None),
        (7, "open", None),
    ]


def test_a_mark_without_its_letter_which_retention_took_changes_nothing() -> None:
    box = Box()
    box.add(mark("replayed"))
    assert list(box.letters()) == []


def test_a_replayed_record_has_its_own_headers_and_says_whose_replay_it_is() -> None:
    first = put_aside([("traceparent", b"00-1")])
    again = put_aside(as_bytes(replay_headers(first)))
    assert (first.replay_of, again.replay_of) == (None, "reco.requests/3/17")
    assert replay_headers(again) == [
        ("traceparent", b"00-1"),
        ("replay_of", "reco.requests/3/17"),
    ]


@each_cell(
    ("wanted", "is_included"),
    [
        (Wanted(), True),
        (Wanted(topics=("reco.requests", "x")), True),
        (Wanted(topics=("reco.control",)), False),
        (Wanted(reasons=("empty", "malformed")), True),
        (Wanted(reasons=("empty",)), False),
        (Wanted(since_ms=1000, until_ms=1001), True),
        (Wanted(since_ms=1001), False),
        (Wanted(until_ms=1000), False),
        (Wanted(offsets=(4, 5)), True),
        (Wanted(offsets=(4,)), False),
        (Wanted(states=("open",)), True),
        (Wanted(states=("replayed", "dropped")), False),
        (Wanted(reasons=("malformed",), offsets=(4,)), False),
    ],
)
def test_each_filter_narrows(wanted: Wanted, is_included: bool) -> None:
    assert wanted.includes(put_aside()) is is_included


def test_letters_are_counted_by_topic_reason_and_state() -> None:
    letters = [put_aside(), put_aside(), replace(put_aside(), state="dropped")]
    assert counts(letters) == {
        ("reco.requests", "malformed", "dropped"): 1,
        ("reco.requests", "malformed", "open"): 2,
    }
