"""The HTTP surface of one worker: the status page, probes, metrics, documents, and the writes.

An edge: it asks the parts, and answers. The routes are made from `streams.http.endpoints`; what
writes is in `streams.http.command_endpoints`. Must not know the rules.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from registry.error_codes import HttpCode
from registry.errors import UnknownVersion
from registry.guardrails.fleet_checks import live
from registry.kafka.audit_trail import Asked, Trail, trail_of
from registry.rollout.wording import diff
from registry.settings import Settings
from streams.http.command_endpoints import Writes
from streams.http.documents import Fleet, Health, HistoryEntry, RampLook, Readiness, RolloutStatus
from streams.http.endpoints import ENDPOINTS, Endpoint
from streams.http.history_query import asked_of
from streams.http.login import IDENTITY, Login
from streams.http.openapi import encoded
from streams.http.problems import Handler, Refused, errors_as_problems
from streams.http.request_limits import BODY_BYTES, SERVER_LIMITS, within_limits
from streams.http.sse import Events
from streams.page.collect import Report
from streams.page.fleet_overview import overview_of
from streams.page.render import POLICY, render, render_main
from streams.page.status import Status
from streams.parts import Parts
from streams.serving.traces import trace_of
from streams.watch.notices import Reason

REPORT: Final = "report.html"

REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""A report is a stored file, with styles of its own; it may look as it likes and do nothing."""

READINGS: Final = 2
"""Readings of the trail at once; each has a consumer and a thread, of which there are few."""

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
    parts
        The worker.
    report
        Gathers its status.
    read
        Returns the audit trail; reads Kafka.
    """

    def __init__(
        self, parts: Parts, report: Report, read: Callable[[Settings, Asked], Trail] = trail_of
    ) -> None:
        self._parts = parts
        self._report = report
        self._read = read
        self._reading = asyncio.Semaphore(READINGS)
        self._writes = Writes(parts)
        self._login = Login(parts)
        self._rendering = threading.Lock()
        self._events = Events(lambda: self._rendered(render_main))

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = _application()
        for one in ENDPOINTS:
            answer = self._login.guard(one, self._answer_of(one))
            if one.method == "POST" or one.kind is not None:  # no HEAD: it would write
                app.router.add_route(one.method, one.path, answer)
            else:
                path = one.path.replace("{request_id}", "{request_id:.+}")
                app.router.add_get(path, answer)
        app.on_shutdown.append(self._events.close)
        return app

    def metrics_alone(self) -> web.Application:
        """Return an application that serves the metrics, and nothing else."""
        app = _application()
        app.router.add_get("/metrics", self.metrics)
        return app

    def _answer_of(self, endpoint: Endpoint) -> Handler:
        if endpoint.kind is not None:
            return self._writes.endpoint(endpoint.kind)
        if endpoint.name in ("login", "logout"):
            return getattr(self._login, endpoint.name)  # type: ignore[no-any-return]
        return getattr(self, endpoint.name)  # type: ignore[no-any-return]

    async def page(self, request: web.Request) -> web.Response:
        """Show the status page."""
        identity = request.get(IDENTITY)
        role = identity.role if identity and identity.by_session else None
        html = await asyncio.to_thread(self._rendered, lambda status: render(status, role))
        return web.Response(text=html, content_type="text/html", headers=POLICY)

    def _rendered(self, render_status: Callable[[Status], str]) -> str:
        """Render in a thread; one at a time, for more would only take turns at the interpreter."""
        with self._rendering:
            return render_status(self._report.status())

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send the inside of the status page whenever it changes."""
        return await self._events.listen(request)

    async def healthz(self, request: web.Request) -> web.Response:
        """Tell whether the process should live; 503 asks for a restart."""
        node = self._parts.node
        alive = self._report.is_alive()
        version = node.acting.primary_version if node.acting else None
        told = Health("ok" if alive else "stuck", version, node.view.state)
        return _json(told if self._login.may_read(request) else Health(told.status), alive)

    async def readyz(self, request: web.Request) -> web.Response:
        """Tell whether the worker answers from the current state; 503 with the reasons if not."""
        reasons = self._report.reasons()
        if not self._login.may_read(request):
            return _json(Readiness(not reasons, tuple(map(_code_alone, reasons))), not reasons)
        notices = self._report.notices()
        return _json(Readiness(not reasons, reasons, self._parts.worker, notices), not reasons)

    async def metrics(self, request: web.Request) -> web.Response:
        """Expose the metrics as Prometheus text."""
        metrics, topic = self._parts.metrics, self._parts.topics.requests.name
        metrics.consumer_lag.clear()  # another worker tells of the partitions that it took over
        for one in self._report.lag():
            metrics.consumer_lag.labels(topic, str(one.partition)).set(one.lag)
        metrics.requests_in_flight.set(self._report.requests_in_flight())
        text = generate_latest(metrics.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def rollout_status(self, request: web.Request) -> web.Response:
        """Return the rollout state, what is acted on, and what is in memory."""
        node = self._parts.node
        return _json(
            RolloutStatus(
                worker=self._parts.worker,
                state=node.view.state,
                acting_epoch=node.acting.epoch if node.acting else None,
                active_version=node.acting.primary_version if node.acting else None,
                resident_versions=tuple(sorted(node.residency.ready)),
                owns_control=self._parts.table.is_owner,
                last_command_offset=node.view.log.last_offset,
            )
        )

    async def history(self, request: web.Request) -> web.Response:
        """Return the commands' results from Kafka, newest first."""
        asked = asked_of(request.rel_url.raw_query_string, self._parts.settings.environment)
        async with self._reading:
            trail = await asyncio.to_thread(self._read, self._parts.settings, asked)
        entries = [
            HistoryEntry(**msgspec.structs.asdict(one), changes=diff(one)) for one in trail.results
        ]
        answer = _json(entries)
        answer.headers["X-Unreadable-Records"] = str(trail.unreadable)
        return answer

    async def fleet(self, request: web.Request) -> web.Response:
        """Return all workers, their counts and the guardrails' findings."""
        return _json(fleet_of(self._parts, time.time()))

    async def trace(self, request: web.Request) -> web.Response:
        """Return why a recent answer of this worker is what it is."""
        request_id = request.match_info["request_id"]
        traces, view = self._parts.traces, self._parts.node.view
        answer = traces.find(request_id)
        if answer is None:
            others = [
                one.url
                for one in live(view.fleet, time.time())
                if one.worker != self._parts.worker and one.url
            ]
            asked = f"another worker may have answered it: {', '.join(others) or 'none is live'}"
            raise Refused(
                404,
                HttpCode.NOT_TRACED,
                f"request {request_id[:200]!r} is not among the last {len(traces)} answers of "
                f"{self._parts.worker}; {asked}",
            )
        return _json(trace_of(answer, view.states))

    async def training(self, request: web.Request) -> web.Response:
        """Return the fleet's latest training run, or null."""
        return _json(self._parts.node.view.training)

    async def models(self, request: web.Request) -> web.Response:
        """Return the registry's manifests, newest first."""
        return _json(await asyncio.to_thread(self._report.manifests))

    async def model_report(self, request: web.Request) -> web.Response:
        """Return a version's report. It is made of data, so nothing in it may run."""
        version, store = request.match_info["version"], self._parts.node.store
        try:
            manifest = await asyncio.to_thread(store.manifest, version)
        except UnknownVersion as error:
            raise Refused(404, error.code, str(error)) from error
        if REPORT not in manifest.files:
            raise Refused(
                404, HttpCode.NO_REPORT, f"version {version}: was published without a report"
            )
        page = await asyncio.to_thread(store.read, version, REPORT)
        return web.Response(
            body=page, content_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY}
        )

    async def openapi(self, request: web.Request) -> web.Response:
        """Return the API's own description."""
        return web.Response(body=encoded(), content_type="application/json")


def fleet_of(parts: Parts, now: float) -> Fleet:
    """Return the fleet as the worker of `parts` knows it at `now`, in seconds since the epoch."""
    view = parts.node.view
    state, seen = view.state, parts.ramp.seen(now)
    overview = overview_of(state, view.fleet, now)
    return Fleet(
        environment=parts.settings.environment,
        epoch=state.epoch if state else None,
        workers=overview.workers,
        arms=overview.arms,
        shadow=overview.shadow,
        split=overview.split,
        ramp=None
        if seen is None
        else RampLook(
            stage=seen.stage.kind,
            percentage=seen.stage.percentage,
            moment=seen.moment,
            verdict=seen.verdict,
            action=seen.action,
            due_in_seconds=seen.due_in_seconds,
            findings=seen.findings,
        ),
    )


def _application() -> web.Application:
    app = web.Application(
        client_max_size=BODY_BYTES,
        middlewares=[errors_as_problems, within_limits],
        handler_args=SERVER_LIMITS,
    )
    app.on_response_prepare.append(_add_headers)
    return app


def _code_alone(reason: Reason) -> Reason:
    return Reason(reason.code, "the token for reading shows more")


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _json(content: Any, good: bool = True) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content),
        status=200 if good else 503,
        content_type="application/json",
    )
