"""The deadline of a call: how long it may take, and what a program learns when it has passed.

Pure. A request tells the workers its deadline, too (`registry.asking.request_bytes`). Must not know
how a client waits.
"""

from __future__ import annotations

import math
from typing import Final

from registry.errors import AnswerTimeout, ConfigurationError, TransportError

DEADLINE_SECONDS: Final = 15.0
"""Longer than a worker's death goes unnoticed: its requests are then answered by another."""

CONFIRMATION_SECONDS: Final = 30.0
"""How long Kafka may take to confirm a record: longer than a broker's restart."""


def require_seconds(seconds: float) -> float:
    """Return a deadline; ConfigurationError unless it is above 0."""
    if not (0 < seconds < math.inf):
        raise ConfigurationError(f"deadline_seconds={seconds}: must be above 0, and finite")
    return seconds


def unanswered(
    request_id: str, seconds: float, servers: str, topic: str, obstacle: str | None
) -> AnswerTimeout:
    """Return what to say of a request that was not answered in `seconds`.

    Parameters
    ----------
    request_id, seconds
        The request, and its deadline.
    servers, topic
        Kafka's addresses, and the topic that the request was sent to.
    obstacle
        What Kafka's client last complained of; None: of nothing.
    """
    return AnswerTimeout(
        f"request {request_id} was not answered within {seconds:g} s: is a worker ready on "
        f"{servers}, and does it read {topic}?"
        + (f" Kafka's client last said: {obstacle}" if obstacle else "")
    )


def unconfirmed_interaction(
    seconds: float | None, servers: str, obstacle: str | None
) -> TransportError:
    """Return what to say of an interaction that Kafka did not confirm in `seconds`."""
    return TransportError(
        f"an interaction was not confirmed within {seconds or CONFIRMATION_SECONDS:g} s by "
        f"Kafka at {servers}; it may still be written"
        + (f". Kafka's client last said: {obstacle}" if obstacle else "")
    )
