"""Trying a user: what each version in memory on this worker would answer, as a page and as JSON.

An edge. Reads the worker's state and scores in a thread, one user at a time; sends nothing, and
counts nothing. Must not know how an answer is made, or how it looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from registry.error_codes import HttpCode, RecordCode
from registry.errors import RecordError
from registry.ids import UserId, parse_id
from registry.kafka.partitioners import murmur2_partition
from streams.comparing.try_user import SideBySide, answer_side_by_side
from streams.http.command_arguments import from_text, pairs
from streams.http.endpoint_arguments import TryPageQuery, TryQuery
from streams.http.problems import Refused
from streams.http.responses_as_json import json_response
from streams.page.render import POLICY, render_try
from streams.serving.answering import Answering


class Trying:
    """The endpoints that try a user.

    Parameters
    ----------
    answering
        Returns what this worker answers with now; None while it cannot.
    request_partitions
        Returns how many partitions the request topic has; 0 while that is not known.
    """

    def __init__(
        self, answering: Callable[[], Answering | None], request_partitions: Callable[[], int]
    ) -> None:
        self._answering = answering
        self._request_partitions = request_partitions
        self._turn = asyncio.Lock()

    async def try_user(self, request: web.Request) -> web.Response:
        """Return the answers as JSON."""
        asked = from_text(TryQuery, pairs(request.rel_url.raw_query_string))
        return json_response(await self._compare(asked.user_id, asked.k, asked.string_id))

    async def try_page(self, request: web.Request) -> web.Response:
        """Show the answers, and the form that asks for them."""
        asked = from_text(TryPageQuery, pairs(request.rel_url.raw_query_string))
        found, complaint, status = None, "", 200
        if asked.user_id.strip():
            try:
                found = await self._compare(asked.user_id, asked.k, asked.string_id)
            except Refused as refused:
                status, complaint = refused.problem.status, refused.problem.detail
        html = render_try(asked.user_id, found, complaint)
        return web.Response(text=html, status=status, content_type="text/html", headers=POLICY)

    async def _compare(self, written: str, k: int, is_text: bool) -> SideBySide:
        user_id: UserId = written if is_text else parse_id(written)
        if user_id == "":
            raise RecordError("user_id: must not be blank", RecordCode.INVALID)
        async with self._turn:
            using = self._answering()
            if using is None:
                raise Refused(
                    503,
                    HttpCode.RECOVERING,
                    "this worker cannot answer yet: it starts, or has just got other partitions; "
                    "try again shortly",
                    headers={"Retry-After": "1"},
                )
            partitions = self._request_partitions()
            key = str(user_id).encode(errors="replace")
            partition = murmur2_partition(key, partitions) if partitions else None
            return await asyncio.to_thread(answer_side_by_side, user_id, k, using, partition)
