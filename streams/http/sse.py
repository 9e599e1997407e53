"""Server-sent events: the content of the status page, for all listeners, whenever it changes.

One task renders, once a second and only while there are listeners. Each listener sends the newest
content when its last send has finished, so a slow one delays no other and skips what it missed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final

from aiohttp import web

from registry.error_codes import HttpCode
from streams.http.problems import Refused

logger = logging.getLogger(__name__)

RENDER_SECONDS: Final = 1.0
"""Between two renderings, however many listen."""

PING_SECONDS: Final = 15.0
"""Silence after which a comment is sent: proxies end silent connections, and a listener that has
gone is noticed."""

MOST_LISTENERS: Final = 100
"""Of one worker; each costs a connection and a copy of the page a second."""

CLOSE_SECONDS: Final = 0.5
"""How long listeners have to end by themselves when the worker stops."""

HEADERS: Final = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}


class EventStream:
    """Renders for, and sends to, the listeners of one worker.

    Parameters
    ----------
    render
        Returns the HTML to send; called in a thread.
    """

    def __init__(self, render: Callable[[], str]) -> None:
        self._render = render
        self._listeners: set[asyncio.Task[None]] = set()
        self._renderer: asyncio.Task[None] | None = None
        self._number = 0
        self._html = ""
        self._changed = asyncio.Event()
        self._closing = False

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """Send events until the listener goes or the worker stops."""
        if self._closing or len(self._listeners) >= MOST_LISTENERS:
            raise Refused(
                503,
                HttpCode.TOO_MANY_LISTENERS,
                f"{len(self._listeners)} clients already listen, the maximum is {MOST_LISTENERS}; "
                "use GET / instead",
                headers={"Retry-After": "10"},
            )
        response = web.StreamResponse(headers=HEADERS)
        if request.method == "HEAD":
            return web.Response(headers=HEADERS)
        await response.prepare(request)
        sending = asyncio.create_task(self._send_all(response))
        self._listeners.add(sending)
        self._start_rendering()
        try:
            await asyncio.wait([sending])
        finally:
            sending.cancel()
            self._listeners.discard(sending)
        return response

    async def close(self, _app: web.Application) -> None:
        """End all, the slow ones too."""
        self._closing = True
        self._changed.set()
        if self._renderer is not None:
            self._renderer.cancel()
        if self._listeners:
            _, slow = await asyncio.wait(self._listeners, timeout=CLOSE_SECONDS)
            for sending in slow:
                sending.cancel()

    async def _send_all(self, response: web.StreamResponse) -> None:
        sent = 0
        try:
            await response.write(b"retry: 2000\n\n")
            while not self._closing:
                if self._html and self._number > sent:
                    sent = self._number
                    await response.write(event("status", self._html, sent))
                else:
                    await self._wait(response)
        except ConnectionError:
            return  # the listener has gone

    async def _wait(self, response: web.StreamResponse) -> None:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            await response.write(b": still here\n\n")

    def _start_rendering(self) -> None:
        if self._renderer is None or self._renderer.done():
            self._renderer = asyncio.create_task(self._render_all())

    async def _render_all(self) -> None:
        while self._listeners:
            try:
                html = await asyncio.to_thread(self._render)
            except Exception:  # the edge of a timer: the next rendering may go well
                logger.exception("the status could not be rendered")
            else:
                self._publish(html)
            await asyncio.sleep(RENDER_SECONDS)
        self._html = ""  # the next one to listen must not get what is old by then

    def _publish(self, html: str) -> None:
        if html == self._html:
            return
        self._number, self._html = self._number + 1, html
        self._changed.set()
        self._changed = asyncio.Event()


def event(name: str, text: str, number: int) -> bytes:
    r"""Return one event in the wire format of the HTML standard.

    >>> event("status", "<p>\n</p>", 7)
    b'event: status\nid: 7\ndata: <p>\ndata: </p>\n\n'
    """
    lines = "".join(f"data: {line}\n" for line in re.split("\r\n|\n|\r", text))
    return f"event: {name}\nid: {number}\n{lines}\n".encode()
