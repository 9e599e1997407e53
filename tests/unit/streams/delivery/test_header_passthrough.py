"""Headers that answers and dead letters carry on: as they came, within bounds."""

from __future__ import annotations

from harness.cells import each_cell

from streams.delivery.header_passthrough import MOST_BYTES, MOST_HEADERS, copy_headers
from streams.delivery.outgoing import Headers


@each_cell(
    "headers",
    [
        [],
        [("traceparent", b"00-4bf9-00f0-01")],
        [("a", b"1"), ("a", b"2"), ("b", None), ("c", b""), ("d", b"\xff")],
        [("x", b"y" * (MOST_BYTES - 1))],
        [("", b"")] * MOST_HEADERS,
    ],
)
def test_headers_are_carried_as_they_came(headers: Headers) -> None:
    assert copy_headers(headers) == headers


def test_of_too_many_those_at_the_front_are_carried() -> None:
    headers = [(str(number), b"") for number in range(MOST_HEADERS + 1)]
    assert copy_headers(headers) == headers[:MOST_HEADERS]


def test_of_too_large_ones_those_before_the_bound_are_carried() -> None:
    assert copy_headers([("a", b"1"), ("x", b"y" * MOST_BYTES), ("b", b"2")]) == [("a", b"1")]
