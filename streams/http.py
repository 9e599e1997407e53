"""The HTTP surface of one worker: pages, probes, metrics, and commands for the control topic.

An edge: it parses, asks the report or produces a command, and answers JSON. A write goes through
the control topic like any other command, so that any worker can take it. Must not know the rules.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec.structs import replace
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from registry.errors import RecordError, TransportError
from registry.records import Command, CommandResult, decode, encode
from streams.app import Parts
from streams.delivery import Outgoing
from streams.page import render
from streams.report import Report

RESULT_SECONDS: Final = 5.0
"""How long a write waits for its result before it answers 202 with the command's id."""

BODY_BYTES: Final = 65_536

NUMBERS: Final = {
    "canary_percentage": float,
    "expected_epoch": int,
    "factors": int,
    "iterations": int,
    "regularization": float,
    "alpha": float,
}
"""Query parameters are text; these fields of a command are numbers."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """The endpoints of PRODUCT.md §6 that this release has."""

    def __init__(self, parts: Parts, report: Report) -> None:
        self._parts = parts
        self._report = report

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[self._errors_as_json])
        app.add_routes(
            [
                web.get("/", self.page),
                web.get("/healthz", self.healthz),
                web.get("/readyz", self.readyz),
                web.get("/metrics", self.metrics),
                web.get("/rollout/status", self.rollout_status),
                web.get("/rollout/history", self.history),
                web.get("/training", self.training),
                web.get("/models", self.models),
                web.get("/switch", self.switch),
                web.post("/switch", self.switch),
                web.post("/retrain", self.write("retrain")),
                web.post("/rollout/update", self.write("rollout")),
                web.post("/rollout/promote", self.write("promote")),
                web.post("/rollout/rollback", self.write("rollback")),
                web.post("/rollout/abort", self.write("abort")),
            ]
        )
        return app

    async def page(self, request: web.Request) -> web.Response:
        """Show the status page."""
        html = await asyncio.to_thread(lambda: render(self._report.status()))
        return web.Response(text=html, content_type="text/html")

    async def healthz(self, request: web.Request) -> web.Response:
        """Tell whether the process should live; 503 asks for a restart."""
        node = self._parts.node
        alive = self._report.is_alive()
        document = {
            "status": "ok" if alive else "stuck",
            "version": node.acting.primary_version if node.acting else None,
            "rollout": node.view.state,
        }
        return _json(document, 200 if alive else 503)

    async def readyz(self, request: web.Request) -> web.Response:
        """Tell whether the worker answers from the current state; 503 with the reasons if not."""
        reasons = self._report.reasons()
        status = 503 if reasons else 200
        return _json(
            {"ready": not reasons, "reasons": reasons, "worker": self._parts.worker}, status
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """Expose the metrics as Prometheus text."""
        for one in self._report.lag():
            self._parts.metrics.consumer_lag.labels(
                self._parts.topics.requests.name, str(one.partition)
            ).set(one.lag)
        self._parts.metrics.requests_in_flight.set(self._report.requests_in_flight())
        text = generate_latest(self._parts.metrics.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def rollout_status(self, request: web.Request) -> web.Response:
        """Return the rollout state, what is acted on, and what is in memory."""
        node = self._parts.node
        return _json(
            {
                "worker": self._parts.worker,
                "state": node.view.state,
                "acting_epoch": node.acting.epoch if node.acting else None,
                "active_version": node.acting.primary_version if node.acting else None,
                "resident_versions": sorted(node.residency.ready),
                "owns_control": self._parts.table.is_owner,
                "last_command_offset": node.view.log.last_offset,
            },
            200,
        )

    async def history(self, request: web.Request) -> web.Response:
        """Return the latest commands and their results, newest first."""
        remembered = self._parts.node.view.log.remembered
        return _json([one.result for one in reversed(remembered)], 200)

    async def training(self, request: web.Request) -> web.Response:
        """Return the fleet's latest training run, or null."""
        return _json(self._parts.node.view.training, 200)

    async def models(self, request: web.Request) -> web.Response:
        """Return the registry's manifests, newest first."""
        return _json(await asyncio.to_thread(self._report.manifests), 200)

    async def switch(self, request: web.Request) -> web.Response:
        """Swap to ``?model=…``."""
        self._require_writer(request)
        fields = await _fields(request)
        for alias in ("model", "version"):
            if alias in fields:
                fields["model_version"] = fields.pop(alias)
        return await self._command("swap", fields, request)

    def write(self, kind: str) -> Handler:
        """Return the endpoint of the command type `kind`."""

        async def endpoint(request: web.Request) -> web.StreamResponse:
            self._require_writer(request)
            return await self._command(kind, await _fields(request), request)

        return endpoint

    async def _command(
        self, kind: str, fields: dict[str, Any], request: web.Request
    ) -> web.Response:
        fields.setdefault("issued_by", f"http:{request.remote}")
        fields.setdefault("command_id", str(uuid.uuid4()))
        environment = self._parts.settings.environment
        if fields.setdefault("environment", environment) != environment:
            detail = f"environment {fields['environment']!r}: this worker serves {environment!r}"
            return _problem(422, "other_environment", detail)
        try:
            command = decode(Command, msgspec.json.encode(fields | {"type": kind}))
        except RecordError as error:
            return _problem(422, error.code, str(error))
        seen_before = self._remembered(command.command_id) is not None
        topic, key = self._parts.topics.control.name, command.environment.encode()
        try:
            await self._parts.delivery.send([Outgoing(topic, key, encode(command))])
        except TransportError as error:
            return _problem(503, error.code, str(error))
        result = await self._result_of(command.command_id)
        if result is not None and seen_before:
            result = replace(result, status="duplicate", error=None)
        return self._answer(command, result)

    async def _result_of(self, command_id: str) -> CommandResult | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RESULT_SECONDS
        while loop.time() < deadline:
            if (result := self._remembered(command_id)) is not None:
                return result
            await asyncio.sleep(0.02)
        return None

    def _remembered(self, command_id: str) -> CommandResult | None:
        remembered = reversed(self._parts.node.view.log.remembered)
        return next((one.result for one in remembered if one.result.command_id == command_id), None)

    def _answer(self, command: Command, result: CommandResult | None) -> web.Response:
        if result is None:
            return _json({"status": "pending", "command_id": command.command_id}, 202)
        if result.error is not None:
            status = 409 if result.error.code in ("stale_epoch", "training_running") else 422
            return _problem(status, result.error.code, result.error.message, command.command_id)
        return _json(
            {
                "status": result.status,
                "command_id": command.command_id,
                "epoch": result.epoch,
                "state": self._parts.node.view.state,
            },
            200,
        )

    def _require_writer(self, request: web.Request) -> None:
        token = self._parts.settings.api_token.get_secret_value()
        if token:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(
                given.encode(errors="surrogatepass"), f"Bearer {token}".encode()
            ):
                raise web.HTTPUnauthorized(
                    text="Authorization: Bearer $RECSTREAM_API_TOKEN is needed",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        elif request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise web.HTTPForbidden(text="a page of another site may not write here")
        elif not _is_loopback(request.remote):
            raise web.HTTPForbidden(
                text="writes are taken from loopback only; set RECSTREAM_API_TOKEN to allow others"
            )

    @web.middleware
    async def _errors_as_json(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPError as error:
            answer = _problem(error.status, "http", error.text or error.reason)
            for name in ("Allow", "WWW-Authenticate"):
                if name in error.headers:
                    answer.headers[name] = error.headers[name]
            return answer


def _is_loopback(remote: str | None) -> bool:
    return remote is not None and ipaddress.ip_address(remote).is_loopback


async def _fields(request: web.Request) -> dict[str, Any]:
    """Return the command's fields: query parameters, form or JSON object, the body going first."""
    fields = {name: _number(name, text) for name, text in request.query.items()}
    if request.content_type == "application/json" and request.can_read_body:
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise web.HTTPUnprocessableEntity(text=f"body: {error}") from error
        return fields | body
    form: Mapping[str, Any] = await request.post()
    for name, value in form.items():
        if not isinstance(value, str):
            raise web.HTTPUnprocessableEntity(text=f"body: {name} is a file, text is needed")
        fields[name] = _number(name, value)
    return fields


def _number(name: str, text: Any) -> Any:
    """Return `text` as the number that the field `name` wants, or as it is: decoding refuses it."""
    try:
        return NUMBERS[name](text) if name in NUMBERS else text
    except ValueError:
        return text


def _json(document: Any, status: int) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(document), status=status, content_type="application/json"
    )


def _problem(status: int, code: str, detail: str, command_id: str | None = None) -> web.Response:
    """Return problem details as RFC 9457 has them, with our stable `code`."""
    document = {"type": "about:blank", "status": status, "code": code, "detail": detail}
    if command_id is not None:
        document["command_id"] = command_id
    return web.Response(
        body=msgspec.json.encode(document), status=status, content_type="application/problem+json"
    )
