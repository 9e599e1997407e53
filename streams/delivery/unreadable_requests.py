"""Unreadable requests: which become dead letters, because they are empty, too large or no request.

Pure. What a readable request gets that cannot be answered: `streams.serving.error_answers`. How
a dead letter is written: `streams.delivery.dead_letters`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

import msgspec

from registry.errors import RecordError, without_frames
from registry.wire.codec import decode
from registry.wire.requests import Request

_decoder: Final = msgspec.json.Decoder(Request)


def read_requests(payloads: Sequence[bytes | None], max_bytes: int) -> list[Request | RecordError]:
    """Read each of many requests, or return why it cannot be read.

    Parameters
    ----------
    payloads
        What the records hold.
    max_bytes
        ``RECSTREAM_MAX_REQUEST_BYTES``; larger ones are not parsed.
    """
    if all(payloads) and max(map(len, cast("Sequence[bytes]", payloads)), default=0) <= max_bytes:
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return list(map(_decoder.decode, cast("Sequence[bytes]", payloads)))
    return [_request_or_error(payload, max_bytes) for payload in payloads]


def _request_or_error(payload: bytes | None, max_bytes: int) -> Request | RecordError:
    try:
        return decode(Request, payload, max_bytes)
    except RecordError as error:
        return without_frames(error)
