"""The client for asyncio: each call is awaited, and may be cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from registry.asking.answer_deadline import DEADLINE_SECONDS, require_seconds
from registry.asking.blocking_client import MAX_IN_FLIGHT
from registry.asking.kafka_link import KafkaLink
from registry.asking.request_bytes import (
    encode_interaction,
    encode_request,
    new_request_id,
)
from registry.ids import ItemId, UserId
from registry.wire.requests import Request
from registry.wire.responses import Response
from registry.wire.training_records.event_weights import FORGET
from registry.wire.training_records.interactions import Interaction


class AsyncClient:
    """Asks for recommendations and sends interactions; one for a process.

    Connects at first use. Close it, or use it in an ``async with`` block. Takes what
    `registry.asking.blocking_client.Client` takes, and raises what it raises.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        topic_prefix: str = "reco",
        config: Mapping[str, Any] | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._seconds = require_seconds(deadline_seconds)
        self._link = KafkaLink(bootstrap_servers, topic_prefix, config or {}, max_in_flight)
        self._connecting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AsyncClient:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers."""
        return self._link.in_flight

    async def connect(self) -> None:
        """Connect now, so that the first request does not have to."""
        await self._connect(self._seconds)

    async def ask(
        self,
        user_id: UserId,
        *,
        k: int = 10,
        exclude_seen: bool = True,
        exclude_items: Sequence[ItemId] = (),
        model_version: str | None = None,
        deadline_seconds: float | None = None,
    ) -> Response:
        """Ask for recommendations, and await the answer."""
        request = Request(
            new_request_id(), user_id, k, exclude_seen, list(exclude_items), model_version
        )
        return await self.send_request(request, deadline_seconds)

    async def send_request(
        self, request: Request, deadline_seconds: float | None = None
    ) -> Response:
        """Send `request`, and await the answer."""
        seconds = self._seconds if deadline_seconds is None else require_seconds(deadline_seconds)
        payload = encode_request(request, seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._connect(seconds)
                answer = self._link.ask(request.request_id, request.key, payload, seconds)
                try:
                    return await asyncio.wrap_future(answer)
                finally:
                    self._link.give_up(request.request_id)
        except TimeoutError:
            raise self._link.timed_out(request.request_id, seconds) from None

    async def send_interaction(
        self, interaction: Interaction, deadline_seconds: float | None = None
    ) -> None:
        """Send what a user did; done once Kafka has confirmed it."""
        seconds = None if deadline_seconds is None else require_seconds(deadline_seconds)
        payload = encode_interaction(interaction, time.time())
        confirmed = self._link.send_interaction(interaction.user_id, payload)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wrap_future(confirmed)
        except TimeoutError:
            raise self._link.unconfirmed(seconds) from None

    async def forget(self, user_id: UserId, deadline_seconds: float | None = None) -> None:
        """Remove all that the user did so far."""
        await self.send_interaction(Interaction(user_id=user_id, event=FORGET), deadline_seconds)

    async def _connect(self, seconds: float) -> None:
        """Connect in a thread, one at a time: the loop's few threads are not for all who wait."""
        deadline = time.monotonic() + seconds
        while not self._link.is_connected:
            if self._connecting is not None and not self._connecting.done():
                await asyncio.wait([self._connecting])  # another's; if it fails, this one tries
                continue
            connecting = asyncio.create_task(
                asyncio.to_thread(self._link.connect, deadline - time.monotonic())
            )
            connecting.add_done_callback(_note_failure)
            self._connecting = connecting
            await asyncio.wait([connecting])  # its thread continues if this one is cancelled
            connecting.result()

    async def close(self) -> None:
        """Send what is not sent yet, and end; requests in flight fail with ``ClientClosed``."""
        await asyncio.to_thread(self._link.close)


def _note_failure(connecting: asyncio.Task[None]) -> None:
    """Take the failure of a task for which nobody may wait any more: asyncio would log it."""
    if not connecting.cancelled():
        connecting.exception()
