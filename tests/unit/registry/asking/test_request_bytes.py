from __future__ import annotations

import json
import math
from typing import Any

import pytest
from harness.cells import each_cell

from registry.asking.answer_deadline import require_seconds
from registry.asking.request_bytes import encode_interaction, encode_request
from registry.errors import ConfigurationError, RecordError
from registry.wire.requests import Request, SessionItem
from registry.wire.training_records.interactions import Interaction

NOW = 1_800_000_000.0


def test_a_request_says_how_long_its_sender_waits() -> None:
    assert json.loads(encode_request(Request("r1", 42), 0.2501))["deadline_ms"] == 251
    assert json.loads(encode_request(Request("r1", 42, deadline_ms=9), 1.0))["deadline_ms"] == 9


def test_a_dict_may_stand_for_an_item_of_a_session() -> None:
    items: Any = [{"item_id": 7, "event": "click"}]
    sent = encode_request(Request("r1", items=items), 1.0)

    assert json.loads(sent)["items"] == items


def test_ids_beyond_53_bits_stay_as_they_are() -> None:
    assert b'"user_id":9223372036854775807' in encode_request(Request("r1", 2**63 - 1), 1.0)


@each_cell(
    ("given", "named"),
    [
        ({"k": 0}, r"\$\.k"),
        ({"k": 1001}, r"\$\.k"),
        ({"user_id": ""}, r"\$\.user_id"),
        ({"user_id": True}, r"\$\.user_id"),
        ({"user_id": 1.5}, r"\$\.user_id"),
        ({"request_id": "x" * 201}, r"\$\.request_id"),
        ({"exclude_items": [None]}, r"\$\.exclude_items"),
        ({"candidates": []}, r"\$\.candidates"),
        ({"candidates": list(range(1001))}, r"\$\.candidates"),
        ({"like": list(range(101))}, r"\$\.like"),
        ({"allow": {"": ["Drama"]}}, r"\$\.allow"),
        ({"items": [SessionItem(7)] * 201}, r"\$\.items"),
        ({"items": [SessionItem(7, "rate", 2e6)]}, r"\$\.items"),
        ({"items": [SessionItem(7, "rate", math.inf)]}, r"\$\.items"),
        ({"items": [SessionItem(7, "rate", math.nan)]}, r"\$\.items"),
        ({"items": [{"item_id": 7, "event": "rate"}]}, "a rate of 7 needs a value"),
        ({"items": [{"event": "watch"}]}, "missing required field `item_id`"),
        ({"user_id": None}, "needs a `user_id`, `items` or `like`"),
        ({"user_id": 2**63}, "user_id 9223372036854775808, must have 64 bits"),
        ({"exclude_items": [-(2**63) - 1]}, "exclude_items -9223372036854775809, must"),
        ({"candidates": [1, 2**64]}, "candidates 18446744073709551616, must"),
        ({"like": [2**63]}, "like 9223372036854775808, must"),
        ({"items": [SessionItem(2**63)]}, "items 9223372036854775808, must"),
        ({"session_id": "s-1"}, "session_id"),
        ({"user_id": object()}, "object"),
        ({"user_id": "\ud800"}, "surrogates"),
    ],
)
def test_a_request_that_no_worker_could_use_is_refused_and_its_field_named(
    given: dict[str, Any], named: str
) -> None:
    with pytest.raises(RecordError, match=named):
        encode_request(Request(**{"request_id": "r1", "user_id": 42} | given), 1.0)


@each_cell(
    ("given", "named"),
    [
        ({"event": "rate"}, "a rate event needs a value"),
        ({"value": 1e7}, r"value 1e\+07"),
        ({"timestamp": NOW * 1000}, "must be in seconds since 1970"),
        ({"value": math.nan}, "value is nan"),
        ({"timestamp": math.inf}, "timestamp is inf"),
        ({"event": "no spaces"}, r"\$\.event"),
        ({"item_id": None}, "a watch needs an `item_id`"),
        ({"title": "x" * 501}, r"\$\.title"),
    ],
)
def test_an_interaction_that_no_training_could_use_is_refused_and_its_field_named(
    given: dict[str, Any], named: str
) -> None:
    with pytest.raises(RecordError, match=named):
        encode_interaction(
            Interaction(**{"user_id": 42, "item_id": 1, "event": "watch"} | given), NOW
        )


@each_cell("seconds", [0, -1.0, math.inf, math.nan])
def test_a_deadline_is_a_time_above_0(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="deadline_seconds"):
        require_seconds(seconds)
