"""The connections to the pages: their maximum number, and which one makes room for another.

They share the process with Kafka's: without a limit, many connections would use up the file
descriptors that answers need. Knows aiohttp's server. Must not know requests.
When a slow or stuck one is ended: `streams.http.admission.slow_callers`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from streams.http.admission.slow_callers import end_when_stuck

MOST_CONNECTIONS: Final = 256
"""Of one worker, at once. A usual limit of file descriptors is 1,024, and Kafka, model files and
training need some; pages, probes and Prometheus take a few dozen."""

BACKLOG: Final = 1024
"""Connections that the kernel keeps for us until we take them. With fewer, a burst of callers that
say nothing leaves some of them connected to nobody, and others waiting."""


class BoundedRunner(web.AppRunner):
    """Runs an application; when connections get too many, the oldest idle one makes room.

    So a probe or an operator gets through, however many idle or slow connections somebody opens.
    """

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        admit = server.connection_made

        def connection_made(handler: RequestHandler, transport: asyncio.Transport) -> None:
            make_room(server)
            end_when_stuck(transport)
            admit(handler, transport)

        server.connection_made = connection_made  # type: ignore[method-assign]
        return server


def make_room(server: web.Server) -> None:
    """Drop a connection if there are as many as may be: the oldest that waits for a request."""
    connected = [
        connection for connection in server.connections if connection.transport is not None
    ]
    if len(connected) < MOST_CONNECTIONS:
        return
    idle = (connection for connection in connected if not connection._request_in_progress)
    dropped = next(idle, connected[0])
    transport = dropped.transport
    dropped.force_close()
    if transport is not None:
        transport.abort()  # `close` alone would wait until the other end has taken everything
