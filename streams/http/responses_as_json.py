"""Documents as JSON responses."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from registry.wire.instants import write_instant


def json_response(content: Any, good: bool = True) -> web.Response:
    """Return `content` as JSON, with status 200 if all is `good` and 503 otherwise."""
    return web.Response(
        body=msgspec.json.encode(content, enc_hook=write_instant),
        status=200 if good else 503,
        content_type="application/json",
    )
