"""Refused records are counted each, and logged by topic, key and subject now and then."""

from __future__ import annotations

import pytest
from harness.cells import each_cell

from registry.error_codes import RefusalCause
from streams.delivery.outgoing import Outgoing, Refusal
from streams.delivery.refused_records import RefusedRecords, describe
from streams.metrics import Metrics


def a_refusal(value: bytes | None, topic: str = "reco.responses") -> Refusal:
    return Refusal(
        0, Outgoing(topic, b"7", value), RefusalCause.TOO_LARGE, "Message size too large"
    )


@each_cell(
    ("value", "subject"),
    [
        (b'{"request_id": "r1", "user_id": 7}', ", request_id 'r1'"),
        (b'{"command_id": "c1"}', ", command_id 'c1'"),
        (b'{"instance": "w1@now", "at": 1}', ", instance 'w1@now'"),
        (b'{"request_id": 5}', ""),
        (b"\xff", ""),
        (None, ""),
    ],
)
def test_a_refusal_names_topic_key_size_and_subject(value: bytes | None, subject: str) -> None:
    size = len(value or b"")
    assert describe(a_refusal(value)) == (f"topic reco.responses, key b'7', {size} bytes{subject}")


def test_each_is_counted_and_repetitions_are_folded(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    refused = RefusedRecords(metrics)
    for _ in range(100):
        refused.note(a_refusal(b"{}"))
    refused.note(a_refusal(b"{}", "reco.shadow"))
    counted = metrics.records_refused.labels("reco.responses", "too_large")
    assert counted._value.get() == 100
    assert len(caplog.records) == 2
