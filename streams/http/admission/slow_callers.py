"""Slow callers: how long the headers and the body of a request may take, and a stuck connection.

Must not know endpoints.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from aiohttp import web

from registry.error_codes import HttpCode
from streams.http.problems import Refused

IDLE_SECONDS: Final = 20.0
"""How long a connection may take for the headers of its next request, the first one too. Longer,
and slow senders pile up; shorter, and a page needs a new connection for each command. aiohttp keeps
to it (`streams.http.admission.request_limits.SERVER_LIMITS`)."""

BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive."""

STUCK_MILLISECONDS: Final = 20_000
"""After this long in which the other end takes nothing of what is sent, the kernel ends it."""

ENDS: Final = {"Connection": "close"}
"""Header of a refusal that leaves a body unread."""


async def read_in_time(request: web.Request) -> None:
    """Read the whole body, which `request.read` returns again; refuse one that takes too long."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            await request.read()
    except TimeoutError as error:
        detail = f"the body did not arrive within {BODY_SECONDS:g} s"
        raise Refused(408, HttpCode.HTTP, detail, headers=ENDS) from error


def end_when_stuck(transport: asyncio.BaseTransport) -> None:
    """Let the kernel end the connection when its other end stops reading, where the kernel can."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    connection = transport.get_extra_info("socket")
    if option is not None and connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, STUCK_MILLISECONDS)
