"""Recommendations over HTTP: a request record is sent, and its answer awaited.

An edge. Whichever worker reads the request answers it, so that rules, provenance and counting are
the same as for an application with Kafka. Must not know how an answer is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import asdict

from registry.asking.async_client import AsyncClient
from registry.asking.request_bytes import new_request_id
from registry.connection.client_config import client_config
from registry.error_codes import AnswerCode, ErrorCode, HttpCode, RecordCode
from registry.errors import RecordError, TooManyRequests
from registry.ids import parse_id
from registry.settings import Settings
from registry.wire.requests import Request
from registry.wire.responses import Response
from streams.http.admission.request_limits import MOST_WAITING
from streams.http.command_arguments import from_json, from_text, pairs
from streams.http.endpoint_arguments import RecommendBody, RecommendQuery
from streams.http.endpoints import JSON
from streams.http.problems import Refused
from streams.http.responses_as_json import json_response

STATUS_BY_CODE: Final[Mapping[str, int]] = {
    AnswerCode.UNKNOWN_VERSION: 404,
    AnswerCode.UNKNOWN_LABEL: 422,
    AnswerCode.BAD_COMBINATION: 422,
}
"""Of answers with an error; others are 503."""


class Recommendations:
    """The endpoints for whoever has no Kafka.

    Its client, which reads all answers on the response topic, connects at the first request.

    Parameters
    ----------
    settings
        Where Kafka is.
    most_waiting
        How many requests may wait for their answers.
    """

    def __init__(self, settings: Settings, most_waiting: int = MOST_WAITING) -> None:
        config = client_config(settings)
        servers = config.pop("bootstrap.servers")
        self._client = AsyncClient(
            servers,
            topic_prefix=settings.topic_prefix,
            config=config,
            max_in_flight=most_waiting,
        )

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers."""
        return self._client.in_flight

    async def recommend(self, request: web.Request) -> web.Response:
        """Answer the user that the path names."""
        asked = from_text(RecommendQuery, pairs(request.rel_url.raw_query_string))
        user = request.match_info["user_id"]
        fields = asdict(asked)
        fields["user_id"] = user if fields.pop("string_id") else parse_id(user)
        return await self._answer(fields)

    async def recommend_by_post(self, request: web.Request) -> web.Response:
        """Answer the request that the body is."""
        if request.content_type != JSON:  # no page of another site can send this type by itself
            shown = request.headers.get("Content-Type", "none")[:200]
            raise Refused(415, HttpCode.HTTP, f"a body of type {shown!r}: must be {JSON}")
        return await self._answer(asdict(from_json(RecommendBody, await request.read())))

    async def close(self, _: web.Application) -> None:
        """End the client."""
        await self._client.close()

    async def _answer(self, fields: dict[str, Any]) -> web.Response:
        if fields.setdefault("request_id", UNSET) is UNSET:
            fields["request_id"] = new_request_id()
        try:
            request = Request(**fields)
        except ValueError as error:
            raise RecordError(f"body: {error}", RecordCode.INVALID) from error
        try:
            answer = await self._client.send_request(request, fields["deadline_ms"] / 1000)
        except TooManyRequests as error:
            raise Refused(429, error.code, str(error), headers={"Retry-After": "1"}) from error
        return _shown(answer)


def _shown(answer: Response) -> web.Response:
    if answer.status == "ok":
        return json_response(answer)
    if answer.status == "expired" or answer.error is None:
        detail = f"request {answer.request_id} was read after its deadline"
        raise Refused(504, ErrorCode.ANSWER_TIMEOUT, detail)
    raise Refused(
        STATUS_BY_CODE.get(answer.error.code, 503), answer.error.code, answer.error.message
    )
