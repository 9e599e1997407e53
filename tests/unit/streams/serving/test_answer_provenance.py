from __future__ import annotations

from msgspec.structs import replace

from registry.wire.requests import SessionItem
from streams.serving.answer_provenance import count_unknown_items
from tests.unit.registry.builders import a_request


def test_each_item_of_a_request_that_the_version_does_not_know_counts_once() -> None:
    row_of = {"known": 0}.get
    request = a_request(candidates=["known", "x", "y", "x", "known"])
    session = [SessionItem("x"), SessionItem("z"), SessionItem("known")]

    assert count_unknown_items(request, row_of) == 2
    assert count_unknown_items(replace(request, items=session), row_of) == 3
    assert count_unknown_items(a_request(like=["x", "known"]), row_of) == 1
    assert count_unknown_items(a_request(), row_of) == 0
