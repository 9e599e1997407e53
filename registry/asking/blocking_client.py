"""The client for threads: each call waits for its outcome."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from registry.asking.answer_deadline import DEADLINE_SECONDS, require_seconds
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

MAX_IN_FLIGHT: Final = 1000


class Client:
    """Asks for recommendations and sends interactions; one for a process, for all its threads.

    Connects at first use. Close it, or use it in a ``with`` block.

    Parameters
    ----------
    bootstrap_servers
        Kafka's addresses, ``host:port`` by commas.
    topic_prefix
        The fleet's ``RECSTREAM_TOPIC_PREFIX``.
    config
        More settings of librdkafka, like ``security.protocol``.
    deadline_seconds
        How long a request waits for its answer unless the call says otherwise.
    max_in_flight
        How many requests may wait for answers at once.

    Raises
    ------
    ConfigurationError
        If an argument is wrong, or `config` names a setting that the client needs for itself.
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

    def __enter__(self) -> Client:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers."""
        return self._link.in_flight

    def connect(self) -> None:
        """Connect now, so that the first request does not have to.

        Raises
        ------
        TransportError
            If Kafka does not answer, refuses, or has no such topics.
        """
        self._link.connect(self._seconds)

    def ask(
        self,
        user_id: UserId,
        *,
        k: int = 10,
        exclude_seen: bool = True,
        exclude_items: Sequence[ItemId] = (),
        model_version: str | None = None,
        deadline_seconds: float | None = None,
    ) -> Response:
        """Ask for recommendations, and wait for the answer.

        An answer says in ``status`` whether it holds items.

        Raises
        ------
        AnswerTimeout
            If none came in time.
        TooManyRequests
            If too many requests are in flight.
        RecordError
            If a worker would refuse the request; the message names the field.
        TransportError
            If Kafka does not take the request.
        """
        request = Request(
            new_request_id(), user_id, k, exclude_seen, list(exclude_items), model_version
        )
        return self.send_request(request, deadline_seconds)

    def send_request(self, request: Request, deadline_seconds: float | None = None) -> Response:
        """Send `request`, and wait for the answer; raises as :meth:`ask` does."""
        seconds = self._seconds if deadline_seconds is None else require_seconds(deadline_seconds)
        deadline = time.monotonic() + seconds
        payload = encode_request(request, seconds)
        answer = self._link.ask(request.request_id, request.key, payload, seconds)
        try:
            return answer.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise self._link.timed_out(request.request_id, seconds) from None
        finally:
            self._link.give_up(request.request_id)

    def send_interaction(
        self, interaction: Interaction, deadline_seconds: float | None = None
    ) -> None:
        """Send what a user did; return once Kafka has confirmed it.

        It waits for 30 s at most, or for `deadline_seconds`; what was not confirmed by then may
        still be written. Sending it again does no harm.

        Raises
        ------
        RecordError
            If it could not be used; the message names the field.
        TransportError
            If Kafka does not confirm it in time.
        """
        seconds = None if deadline_seconds is None else require_seconds(deadline_seconds)
        payload = encode_interaction(interaction, time.time())
        confirmed = self._link.send_interaction(interaction.user_id, payload)
        try:
            confirmed.result(seconds)
        except TimeoutError:
            raise self._link.unconfirmed(seconds) from None

    def forget(self, user_id: UserId, deadline_seconds: float | None = None) -> None:
        """Remove all that the user did so far; raises as :meth:`send_interaction` does."""
        self.send_interaction(Interaction(user_id=user_id, event=FORGET), deadline_seconds)

    def close(self) -> None:
        """Send what is not sent yet, and end; requests in flight fail with ``ClientClosed``."""
        self._link.close()
