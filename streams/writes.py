"""Writes over HTTP: a request becomes a command on the control topic, its result the answer.

An edge. Any worker can take a write: whichever one owns the control partition decides it, and the
result comes back by the rollout table. Knows who may write; must not know the rules.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import uuid
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from msgspec.structs import replace

from registry.control import ControlLog
from registry.errors import TransportError
from registry.records import Command, CommandResult, CommandType, decode, encode
from streams.app import Parts
from streams.arguments import arguments_of
from streams.control import MAX_COMMAND_BYTES
from streams.delivery import Outgoing
from streams.documents import Decided, Pending
from streams.problems import Handler, Refused

RESULT_SECONDS: Final = 5.0
"""How long a write waits for its result before it answers 202 with the command's id."""

POLL_SECONDS: Final = 0.01
"""Between two looks for it: a command is decided within about as long."""

BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive."""

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

CONFLICTS: Final = ("stale_epoch", "training_running")
"""Rejections that another attempt may not meet; the others are 422."""

FORWARDED: Final = ("Forwarded", "X-Forwarded-For")


class Writes:
    """The write endpoints of one worker."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def endpoint(self, kind: CommandType) -> Handler:
        """Return the endpoint of the command type `kind`."""

        async def write(request: web.Request) -> web.StreamResponse:
            require_writer(request, self._parts.settings.api_token.get_secret_value())
            if not self._parts.node.recovered_once:
                raise Refused(
                    503,
                    "recovering",
                    "reading the rollout table; wait",
                    headers={"Retry-After": "1"},
                )
            return await self._write(self._command(kind, await _fields(kind, request), request))

        return write

    def _command(self, kind: CommandType, fields: dict[str, Any], request: web.Request) -> Command:
        fields.setdefault("issued_by", f"http:{request.remote}")
        fields.setdefault("command_id", str(uuid.uuid4()))
        environment = self._parts.settings.environment
        if fields.setdefault("environment", environment) != environment:
            raise Refused(
                422,
                "other_environment",
                f"environment {fields['environment']!r}: this worker serves {environment!r}",
            )
        payload = encode(Command(type=kind, **fields))
        return decode(Command, payload, MAX_COMMAND_BYTES)

    async def _write(self, command: Command) -> web.Response:
        seen_before = _result_in(self._parts.node.view.log, command.command_id) is not None
        deadline = asyncio.get_running_loop().time() + RESULT_SECONDS
        await self._send(command)
        result = await self._result_of(command.command_id, deadline)
        if result is not None and seen_before and result.error is None:
            result = replace(result, status="duplicate")
        return self._answer(command, result)

    async def _send(self, command: Command) -> None:
        topic, key = self._parts.topics.control.name, command.environment.encode()
        confirmed = self._parts.delivery.send([Outgoing(topic, key, encode(command))])
        confirmed.add_done_callback(_note_failure)
        await asyncio.wait([confirmed], timeout=RESULT_SECONDS)
        if not confirmed.done():
            raise Refused(
                503,
                TransportError.code,
                f"Kafka has not confirmed the command within {RESULT_SECONDS:g} s; it may still "
                "come to be applied. Send it again with the same command_id: it is applied once",
                command_id=command.command_id,
            )
        confirmed.result()

    async def _result_of(self, command_id: str, deadline: float) -> CommandResult | None:
        loop, seen = asyncio.get_running_loop(), None
        while True:
            log = self._parts.node.view.log
            if log is not seen and (result := _result_in(log, command_id)) is not None:
                return result
            if loop.time() >= deadline:
                return None
            seen = log
            await asyncio.sleep(POLL_SECONDS)

    def _answer(self, command: Command, result: CommandResult | None) -> web.Response:
        if result is None:
            return _json(Pending("pending", command.command_id), 202)
        if result.error is not None:
            status = 409 if result.error.code in CONFLICTS else 422
            raise Refused(
                status, result.error.code, result.error.message, command_id=command.command_id
            )
        view = self._parts.node.view
        is_new, epoch, state = result.status == "applied", result.epoch, view.state
        if is_new and epoch is not None:  # another command may have been faster than this answer
            state = view.states.get(epoch, state)
        outcome: Literal["applied", "duplicate"] = "applied" if is_new else "duplicate"
        return _json(Decided(outcome, command.command_id, epoch, state), 200)


def require_writer(request: web.Request, token: str) -> None:
    """Refuse whoever may not write.

    With a token: whoever sends it, from anywhere. Without: loopback only, and no browser that acts
    for another site. A page cannot forge the headers that are looked at here.
    """
    if token:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(
            given.encode(errors="surrogatepass"), f"Bearer {token}".encode()
        ):
            raise Refused(
                401,
                "http",
                "Authorization: Bearer $RECSTREAM_API_TOKEN is needed",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return
    if not _is_loopback(request.remote) or any(name in request.headers for name in FORWARDED):
        raise Refused(
            403,
            "http",
            "writes are taken from loopback only; set RECSTREAM_API_TOKEN to allow others",
        )
    if _is_cross_site(request):
        raise Refused(403, "http", "a page of another site may not write here")


def _is_loopback(remote: str | None) -> bool:
    if remote is None:
        return False
    address = ipaddress.ip_address(remote)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_cross_site(request: web.Request) -> bool:
    """Tell whether a browser sent this for a page that is not ours.

    A name that leads to loopback may be anybody's (DNS rebinding), so only addresses and
    ``localhost`` count as ours.
    """
    host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in ("none", "same-origin"):
        return True
    if origin is not None and origin != f"{request.scheme}://{host}":
        return True
    return bool(host) and not _is_local_name(host)


def _is_local_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name != "localhost":
            ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _fields(kind: CommandType, request: web.Request) -> dict[str, Any]:
    """Return the command's fields: query parameters, form or JSON object, the body going first."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError as error:
        detail = f"the body did not arrive within {BODY_SECONDS:g} s"
        raise Refused(408, "http", detail) from error
    query = request.rel_url.raw_query_string
    if not body:
        return arguments_of(kind, query, "", b"")
    charset = (request.charset or "utf-8").lower()
    if request.content_type not in (JSON, FORM) or charset not in ("utf-8", "utf8"):
        raise Refused(
            415,
            "http",
            f"a body of type {request.headers.get('Content-Type', 'none')!r}: must be {JSON} or "
            f"{FORM}, in UTF-8",
        )
    if request.content_type == JSON:
        return arguments_of(kind, query, "", body)
    try:
        return arguments_of(kind, query, body.decode(), b"")
    except UnicodeDecodeError as error:
        raise Refused(422, "malformed", f"form: not UTF-8: {error}") from error


def _result_in(log: ControlLog, command_id: str) -> CommandResult | None:
    remembered = reversed(log.remembered)
    return next((one.result for one in remembered if one.result.command_id == command_id), None)


def _note_failure(confirmed: asyncio.Future[None]) -> None:
    """Look at the error even if nobody waits any more: asyncio would log it as forgotten."""
    if not confirmed.cancelled():
        confirmed.exception()


def _json(document: Any, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type=JSON)
