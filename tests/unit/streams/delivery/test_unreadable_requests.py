from __future__ import annotations

import pytest

from registry.errors import RecordError
from registry.wire.codec import decode, encode
from registry.wire.requests import Request
from streams.delivery.unreadable_requests import read_requests

GOOD = encode(Request("r1", 1))
BAD = (None, b"", b"{", b"\xff", b"{}", b"[]", b"[" * 100_000, b'{"request_id":"r","user_id":1.5}')


def test_a_request_of_a_megabyte_is_refused_with_both_sizes_and_not_parsed() -> None:
    (refused,) = read_requests([b"[" * 1_000_000], 65_536)
    assert isinstance(refused, RecordError)
    assert refused.code == "too_large"
    assert str(refused) == "Request: 1000000 bytes, at most 65536 are allowed"
    assert read_requests([GOOD], len(GOOD)) == [Request("r1", 1)]


@pytest.mark.parametrize("payloads", [[], [GOOD] * 3, [GOOD, GOOD[:-1] + b" " * 99 + b"}"]])
@pytest.mark.parametrize("bad", [(), BAD])
def test_many_requests_are_read_as_each_of_them_alone(
    payloads: list[bytes], bad: tuple[bytes | None, ...]
) -> None:
    def alone(payload: bytes | None) -> object:
        try:
            return decode(Request, payload, 100)
        except RecordError as error:
            return str(error), error.code

    several = [*payloads, *bad, *payloads]
    found = [
        (str(made), made.code) if isinstance(made, RecordError) else made
        for made in read_requests(several, 100)
    ]
    assert found == list(map(alone, several))
