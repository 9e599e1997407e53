"""The limits of requests: the sizes of path, headers and body, and how many may wait.

They apply to every endpoint, whether it reads a body or not: a request beyond them is refused
before it is processed. How long one may take: `streams.http.admission.slow_callers`. Must not know
endpoints.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from registry.error_codes import HttpCode
from streams.http.admission.slow_callers import ENDS, IDLE_SECONDS, read_in_time
from streams.http.problems import Handler, Refused

BODY_BYTES: Final = 65_536
PATH_BYTES: Final = 8_192
HEADER_BYTES: Final = 16_384
"""Larger ones are refused. aiohttp's own limits come after ours, which say why in JSON."""

MOST_WAITING: Final = 100
"""Requests for recommendations (`streams.http.recommend_endpoints`) that wait for their answers,
each with a connection: more are refused with 429."""

SERVER_LIMITS: Final = {
    "auto_decompress": False,  # a few bytes can become gigabytes, on the event loop
    "keepalive_timeout": IDLE_SECONDS,
    "lingering_time": 0.0,  # what is unread after the answer is not read
    "max_line_size": 2 * HEADER_BYTES,
    "max_field_size": 2 * HEADER_BYTES,
    "max_headers": 64,
}
"""What aiohttp must keep to by itself."""


@web.middleware
async def within_limits(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a request that is too large, too slow or compressed; read the body of any other."""
    path = len(request.raw_path)
    if path > PATH_BYTES:
        raise Refused(
            414, HttpCode.HTTP, f"path and query of {path} bytes, {PATH_BYTES} are allowed"
        )
    headers = sum(len(name) + len(value) for name, value in request.raw_headers)
    if headers > HEADER_BYTES:
        raise Refused(431, HttpCode.HTTP, f"headers of {headers} bytes, {HEADER_BYTES} are allowed")
    _require_plain(request)
    await _read_body(request)
    return await handler(request)


def _require_plain(request: web.Request) -> None:
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise Refused(
            415,
            HttpCode.HTTP,
            f"Content-Encoding {encoding[:200]!r}: bodies must be sent uncompressed",
            headers={"Accept-Encoding": "identity"} | ENDS,
        )


async def _read_body(request: web.Request) -> None:
    """Read all of it, for whoever wants it: `request.read` returns it again."""
    declared = request.content_length or 0
    if declared > BODY_BYTES:
        raise Refused(
            413,
            HttpCode.HTTP,
            f"a body of {declared} bytes, {BODY_BYTES} are allowed",
            headers=ENDS,
        )
    try:
        await read_in_time(request)
    except web.HTTPRequestEntityTooLarge as error:  # chunks tell no length
        detail = f"a body of more than {BODY_BYTES} bytes, which are allowed"
        raise Refused(413, HttpCode.HTTP, detail, headers=ENDS) from error
