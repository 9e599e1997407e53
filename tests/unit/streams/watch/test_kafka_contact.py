"""When a worker says that Kafka is away, and since when."""

from __future__ import annotations

from streams.watch.kafka_contact import SILENCE_SECONDS, Contact


def test_nothing_is_missing_while_nothing_was_sent() -> None:
    contact = Contact(900)

    assert contact.silent_seconds(1e9) == 0
    assert contact.reason(1e9, 0) is None
    assert not contact.is_lost(1e9)


def test_a_record_that_waits_a_moment_is_no_outage() -> None:
    contact = Contact(900)
    contact.note_sent(100)

    assert contact.reason(100 + SILENCE_SECONDS, 0) is None


def test_an_outage_counts_from_the_first_record_that_was_not_confirmed() -> None:
    contact = Contact(900)
    contact.note_sent(100)
    contact.note_sent(160)

    reason = contact.reason(171, 1_767_268_871)

    assert contact.silent_seconds(171) == 71
    assert reason is not None
    assert reason.code == "kafka_unreachable"
    assert "since 2026-01-01T12:00:00+00:00 (71 s)" in reason.message


def test_one_confirmation_ends_it() -> None:
    contact = Contact(900)
    contact.note_sent(100)
    contact.note_confirmed()

    assert contact.silent_seconds(200) == 0
    contact.note_sent(200)
    assert contact.silent_seconds(201) == 1


def test_contact_is_lost_after_the_bound_and_not_before() -> None:
    contact = Contact(900)
    contact.note_sent(100)

    assert not contact.is_lost(1000)
    assert contact.is_lost(1000.1)
