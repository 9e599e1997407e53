"""The HTTP surface of one worker: the status page, probes, metrics, documents, and the writes.

An edge. The routes are generated from `streams.http.endpoints`; the handlers are in
`streams.http.probes`, `streams.http.reading_endpoints`, `streams.http.try_endpoints`,
`streams.http.recommend_endpoints` and `streams.http.command_endpoints`. Must not know the rules.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from streams.http.admission.login import IDENTITY, Login
from streams.http.admission.request_limits import BODY_BYTES, SERVER_LIMITS, within_limits
from streams.http.command_endpoints import Writes
from streams.http.endpoints import ENDPOINTS, JSON, Endpoint
from streams.http.openapi import encode_document
from streams.http.probes import Probes
from streams.http.problems import Handler, errors_as_problems
from streams.http.reading_endpoints import Reads
from streams.http.recommend_endpoints import Recommendations
from streams.http.sse import EventStream
from streams.http.try_endpoints import Trying
from streams.page.render import POLICY, render, render_main
from streams.page.status import Status

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer that brings no others: nothing is kept, nothing in it runs or loads anything,
and no other site shows it or loads it."""


class Pages:
    """The endpoints of one worker.

    Parameters
    ----------
    collect_status
        Collects what the status page shows; reads files.
    probes, reads, trying, recommendations, writes, login
        What answers the other endpoints.
    """

    def __init__(
        self,
        collect_status: Callable[[], Status],
        probes: Probes,
        reads: Reads,
        trying: Trying,
        recommendations: Recommendations,
        writes: Writes,
        login: Login,
    ) -> None:
        self._collect_status = collect_status
        self._probes = probes
        self._recommendations = recommendations
        self._writes = writes
        self._login = login
        self._answers: Mapping[str, Handler] = {
            "page": self.page,
            "events": self.events,
            "openapi": self.openapi,
            "healthz": probes.healthz,
            "readyz": probes.readyz,
            "metrics": probes.metrics,
            "rollout_status": reads.rollout_status,
            "history": reads.history,
            "fleet": reads.fleet,
            "trace": reads.trace,
            "try_page": trying.try_page,
            "try_user": trying.try_user,
            "training": reads.training,
            "models": reads.models,
            "model_report": reads.model_report,
            "experiment_report": reads.experiment_report,
            "asyncapi": reads.asyncapi,
            "recommend": recommendations.recommend,
            "recommend_by_post": recommendations.recommend_by_post,
            "login": login.login,
            "logout": login.logout,
        }
        self._rendering = threading.Lock()
        self._events = EventStream(lambda: self._render(render_main))

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = _application()
        for endpoint in ENDPOINTS:
            answer = self._login.guard(endpoint, self._answer_of(endpoint))
            if endpoint.method == "POST" or endpoint.access in ("ask", "write"):
                path = endpoint.path.replace("{user_id}", "{user_id:.+}")  # no HEAD: it would send
                app.router.add_route(endpoint.method, path, answer)
            else:
                path = endpoint.path.replace("{request_id}", "{request_id:.+}")
                app.router.add_get(path, answer)
        app.on_shutdown.append(self._events.close)
        app.on_cleanup.append(self._recommendations.close)
        return app

    def metrics_alone(self) -> web.Application:
        """Return an application that serves the metrics, and nothing else."""
        app = _application()
        app.router.add_get("/metrics", self._probes.metrics)
        return app

    def _answer_of(self, endpoint: Endpoint) -> Handler:
        if endpoint.kind is not None:
            return self._writes.endpoint(endpoint.kind)
        return self._answers[endpoint.name]

    async def page(self, request: web.Request) -> web.Response:
        """Show the status page."""
        identity = request.get(IDENTITY)
        role = identity.role if identity and identity.by_session else None
        html = await asyncio.to_thread(self._render, lambda status: render(status, role))
        return web.Response(text=html, content_type="text/html", headers=POLICY)

    def _render(self, render_status: Callable[[Status], str]) -> str:
        """Render in a thread; one at a time, for more would only take turns at the interpreter."""
        with self._rendering:
            return render_status(self._collect_status())

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send the inside of the status page whenever it changes."""
        return await self._events.listen(request)

    async def openapi(self, request: web.Request) -> web.Response:
        """Return the API's own description."""
        return web.Response(body=encode_document(), content_type=JSON)


def _application() -> web.Application:
    app = web.Application(
        client_max_size=BODY_BYTES,
        middlewares=[errors_as_problems, within_limits],
        handler_args=SERVER_LIMITS,
    )
    app.on_response_prepare.append(_add_headers)
    return app


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
