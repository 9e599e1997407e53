"""Writes over HTTP: a request becomes a command on the control topic; its result is the answer.

An edge. Any worker can take a write: the worker that owns the control partition decides it, and the
result comes back through the rollout table. Must not know the rules, nor who may write.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Any, Final, Literal

from aiohttp import web
from msgspec.structs import replace

from registry.error_codes import CommandCode, HttpCode, RecordCode
from registry.errors import TransportError
from registry.rollout.command_log import ControlLog
from registry.rollout.recreated_control_topic import FOREIGN_TOPIC
from registry.wire.codec import decode, encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import KINDS, Command, CommandType
from streams.control.command_agent import MAX_COMMAND_BYTES
from streams.delivery.outgoing import Outgoing
from streams.delivery.producer import Delivery
from streams.http.admission.login import ISSUER
from streams.http.admission.reserved_names import require_own_name
from streams.http.command_arguments import arguments_of
from streams.http.documents import Decided, Pending
from streams.http.endpoints import FORM, JSON
from streams.http.problems import Handler, Refused
from streams.http.responses_as_json import json_response
from streams.state.rollout_view import RolloutView
from streams.watch.topic_watch import TopicWatch

RESULT_SECONDS: Final = 5.0
"""How long a write waits for its result before it answers 202 with the command's id."""

CONFLICTS: Final = (
    CommandCode.NO_TRAFFIC,
    CommandCode.STALE_EPOCH,
    CommandCode.TOO_LITTLE_TRAFFIC,
    CommandCode.TRAINING_RUNNING,
)
"""Rejections that another attempt may not meet; the others are 422."""


class Writes:
    """The write endpoints of one worker.

    Parameters
    ----------
    view, watch
        What is known of the rollout, and of the control topic.
    has_recovered
        Tells whether the rollout table has been read.
    delivery
        Sends the commands.
    environment, control_topic
        Where they go.
    """

    def __init__(
        self,
        view: RolloutView,
        has_recovered: Callable[[], bool],
        watch: TopicWatch,
        delivery: Delivery,
        environment: str,
        control_topic: str,
    ) -> None:
        self._view = view
        self._has_recovered = has_recovered
        self._watch = watch
        self._delivery = delivery
        self._environment = environment
        self._control_topic = control_topic
        self._new_log = asyncio.Event()
        view.call_on_new_log(self._note_new_log)

    def _note_new_log(self) -> None:
        """Wake all that wait for a result: each looks whether the new log has its own."""
        self._new_log.set()
        self._new_log = asyncio.Event()

    def endpoint(self, kind: CommandType) -> Handler:
        """Return the endpoint of the command type `kind`."""

        async def write(request: web.Request) -> web.StreamResponse:
            if not self._has_recovered():
                raise Refused(
                    503,
                    HttpCode.RECOVERING,
                    "reading the rollout table; try again shortly",
                    headers={"Retry-After": "1"},
                )
            if kind != "begin_era" and self._watch.is_foreign(self._view.log):
                raise Refused(409, HttpCode.FOREIGN_CONTROL_TOPIC, FOREIGN_TOPIC)
            return await self._write(self._command(kind, await _fields(kind, request), request))

        return write

    def _command(self, kind: CommandType, fields: dict[str, Any], request: web.Request) -> Command:
        require_own_name(fields.setdefault("issued_by", issuer := request[ISSUER]), issuer)
        fields.setdefault("command_id", str(uuid.uuid4()))
        environment = self._environment
        if fields.setdefault("environment", environment) != environment:
            raise Refused(
                422,
                HttpCode.OTHER_ENVIRONMENT,
                f"environment {fields['environment']!r}: this worker serves {environment!r}",
            )
        if "ramp" in fields:
            fields.setdefault("fit", False)
        payload = encode(KINDS[kind](origin="operator", **fields))
        return decode(Command, payload, MAX_COMMAND_BYTES)

    async def _write(self, command: Command) -> web.Response:
        seen_before = _result_in(self._view.log, command.command_id) is not None
        deadline = asyncio.get_running_loop().time() + RESULT_SECONDS
        await self._send(command)
        result = await self._result_of(command.command_id, deadline)
        if result is not None and seen_before and result.error is None:
            result = replace(result, status="duplicate")
        return self._answer(command, result)

    async def _send(self, command: Command) -> None:
        topic, key = self._control_topic, command.environment.encode()
        confirmed = self._delivery.send([Outgoing(topic, key, encode(command))])
        confirmed.add_done_callback(_note_failure)
        await asyncio.wait([confirmed], timeout=RESULT_SECONDS)
        if not confirmed.done():
            raise Refused(
                503,
                TransportError.code,
                f"Kafka has not confirmed the command within {RESULT_SECONDS:g} s; it may still "
                "be applied. Send it again with the same command_id: it is applied at most once",
                command_id=command.command_id,
            )
        confirmed.result()

    async def _result_of(self, command_id: str, deadline: float) -> CommandResult | None:
        """Wait for the log that holds the command's result; None if none came by `deadline`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while (result := _result_in(self._view.log, command_id)) is None:
                    await self._new_log.wait()
                return result
        return None

    def _answer(self, command: Command, result: CommandResult | None) -> web.Response:
        if result is None:
            return json_response(Pending("pending", command.command_id), 202)
        if result.error is not None:
            status = 409 if result.error.code in CONFLICTS else 422
            raise Refused(
                status, result.error.code, result.error.message, command_id=command.command_id
            )
        view = self._view
        is_new, epoch, state = result.status == "applied", result.epoch, view.state
        if is_new and epoch is not None:  # another command may have been faster than this answer
            state = view.states.get(epoch, state)
        outcome: Literal["applied", "duplicate"] = "applied" if is_new else "duplicate"
        return json_response(Decided(outcome, command.command_id, epoch, state), 200)


async def _fields(kind: CommandType, request: web.Request) -> dict[str, Any]:
    """Return the command's fields: query parameters, form or JSON object, the body going first."""
    body = await request.read()
    query = request.rel_url.raw_query_string
    if not body:
        return arguments_of(kind, query, "", b"")
    charset = (request.charset or "utf-8").lower()
    if request.content_type not in (JSON, FORM) or charset not in ("utf-8", "utf8"):
        raise Refused(
            415,
            HttpCode.HTTP,
            f"a body of type {request.headers.get('Content-Type', 'none')!r}: must be {JSON} or "
            f"{FORM}, in UTF-8",
        )
    if request.content_type == JSON:
        return arguments_of(kind, query, "", body)
    try:
        return arguments_of(kind, query, body.decode(), b"")
    except UnicodeDecodeError as error:
        raise Refused(422, RecordCode.MALFORMED, f"form: not UTF-8: {error}") from error


def _result_in(log: ControlLog, command_id: str) -> CommandResult | None:
    remembered = reversed(log.remembered)
    return next(
        (command.result for command in remembered if command.result.command_id == command_id), None
    )


def _note_failure(confirmed: asyncio.Future[None]) -> None:
    """Look at the error even if nobody waits any more: asyncio would log it as forgotten."""
    if not confirmed.cancelled():
        confirmed.exception()
