"""Documents as JSON responses."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from registry.wire.instants import write_instant
from streams.http.endpoints import JSON


def json_response(content: Any, status: int = 200) -> web.Response:
    """Return `content` as JSON."""
    return web.Response(
        body=msgspec.json.encode(content, enc_hook=write_instant),
        status=status,
        content_type=JSON,
    )
