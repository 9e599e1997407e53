"""Intake: what counts as an event is what training could use, and is taken as training takes it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from registry.fresh.event_intake import take_in
from training.log.rows import table_of

odd = st.sampled_from(
    [None, "", "a", "1", 1, -1, 2**63, 2**64, 1.5, True, "x" * 201, float(10**7), -3.0, [], {}]
)
records = st.one_of(
    st.binary(max_size=8),
    st.none(),
    st.fixed_dictionaries(
        {"user_id": st.integers(0, 9), "item_id": st.integers(0, 9)},
        optional={
            "event": st.sampled_from(
                ["watch", "rate", "forget", "my.kind", "no kind", "", "k" * 65]
            ),
            "value": st.one_of(st.none(), st.floats(-5, 5), odd),
            "timestamp": st.one_of(st.none(), st.sampled_from([0.0, 999.5, 1e5, 1e12])),
            "title": st.sampled_from(["A film", None, 7, "t" * 501]),
        },
    ),
    st.dictionaries(st.sampled_from(["user_id", "item_id", "event", "value", "timestamp"]), odd),
)


def payload_of(record: Any) -> bytes | None:
    return json.dumps(record).encode() if isinstance(record, dict) else record


@given(st.lists(records, max_size=5))
def test_an_event_is_what_training_could_use(given_records: list[Any]) -> None:
    payloads = list(map(payload_of, given_records))
    offsets, times = range(len(payloads)), [1000.0 + place for place in range(len(payloads))]

    rows = table_of(offsets, times, payloads).to_pylist()
    taken = take_in(offsets, times, payloads)

    usable = [row for row in rows if row["unusable"] is None]
    events = taken.events
    assert list(events.offsets) == [row["offset"] for row in usable]
    assert events.users == [
        row["user_text"] if row["user_int"] is None else row["user_int"] for row in usable
    ]
    assert events.items == [
        row["item_text"] if row["item_int"] is None else row["item_int"] for row in usable
    ]
    assert events.kinds == [row["event"] for row in usable]
    assert [
        value for value, row in zip(events.values, usable, strict=True) if row["event"] != "forget"
    ] == [
        1.0 if row["value"] is None else row["value"]  # of a `forget` it is not the event's
        for row in usable
        if row["event"] != "forget"
    ]
    assert events.times == [
        row["at"] if row["timestamp"] is None else row["timestamp"] for row in usable
    ]
    assert taken.unusable.total() == len(rows) - len(usable)


def test_one_record_that_is_none_costs_no_other() -> None:
    sound = b'{"user_id": 1, "item_id": "a", "event": "watch"}'

    taken = take_in([3, 4, 5], [1.0, 2.0, 3.0], [sound, b"not JSON", sound])

    assert (taken.events.offsets, taken.events.items) == ([3, 5], ["a", "a"])
    assert taken.unusable == {"malformed": 1}
