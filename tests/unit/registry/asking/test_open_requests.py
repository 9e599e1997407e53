from __future__ import annotations

import json
from typing import Any

import pytest
from harness.cells import each_cell

from registry.asking.open_requests import OpenRequests
from registry.errors import ClientClosed, RecordError, TooManyRequests


def an_answer(request_id: str = "r1", **given: Any) -> bytes:
    provenance = {"environment": "production", "worker": "w1"}
    fields = {"request_id": request_id, "user_id": 42, "status": "ok", "provenance": provenance}
    return json.dumps(fields | given).encode()


def test_an_answer_completes_its_request_and_no_other() -> None:
    waiting = OpenRequests(2)
    first, second = waiting.open("r1"), waiting.open("r2")

    waiting.answer(an_answer("r1", items=[{"item_id": 7, "score": 0.5}]))

    assert first.result(0).items[0].item_id == 7
    assert not second.done()
    assert len(waiting) == 1


@each_cell(
    "payload",
    [None, b"", b"garbage", b"\xff", b"[]", b"{}", b'{"request_id": 1}', an_answer("another's")],
)
def test_what_answers_none_of_the_requests_is_dropped(payload: bytes | None) -> None:
    waiting = OpenRequests(1)
    future = waiting.open("r1")

    waiting.answer(payload)

    assert not future.done()


def test_the_second_answer_to_a_request_is_dropped() -> None:
    waiting = OpenRequests(1)
    future = waiting.open("r1")

    waiting.answer(an_answer(model_version="v0.1"))
    waiting.answer(an_answer(model_version="v0.2"))

    assert future.result(0).model_version == "v0.1"


def test_an_answer_after_its_sender_gave_up_is_dropped() -> None:
    waiting = OpenRequests(1)
    future = waiting.open("r1")
    waiting.close("r1")

    waiting.answer(an_answer())

    assert not future.done()
    assert len(waiting) == 0


def test_no_more_requests_wait_than_may_until_one_is_answered() -> None:
    waiting = OpenRequests(1)
    waiting.open("r1")
    with pytest.raises(TooManyRequests, match="1 requests are in flight, 1 are allowed"):
        waiting.open("r2")

    waiting.answer(an_answer("r1"))

    waiting.open("r2")


def test_an_id_that_waits_already_is_refused() -> None:
    waiting = OpenRequests(2)
    waiting.open("r1")

    with pytest.raises(RecordError, match="'r1' is in flight"):
        waiting.open("r1")


def test_an_answer_of_a_release_that_says_more_is_an_error_of_its_request() -> None:
    waiting = OpenRequests(1)
    future = waiting.open("r1")

    waiting.answer(an_answer(status="postponed"))

    with pytest.raises(RecordError, match=r"cannot be read by this release.*postponed"):
        future.result(0)


def test_closing_fails_all_that_wait() -> None:
    waiting = OpenRequests(2)
    futures = [waiting.open("r1"), waiting.open("r2")]

    waiting.fail_all(ClientClosed("closed"))

    assert [type(future.exception(0)) for future in futures] == [ClientClosed, ClientClosed]
    assert len(waiting) == 0
