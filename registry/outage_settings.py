"""What every librdkafka client of ours is configured with, so that it outlives an outage of Kafka.

Values only. Must not know what a client is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SOCKET_TIMEOUT_MS: Final = 10_000
"""How long a broker may leave a request unanswered. Kafka has another leader after 9 s; a client
that waits for a frozen broker as long as librdkafka does by default (60 s) does not follow."""

RECONNECT_MS: Final = 1_000
"""Longest pause between two attempts to connect. A worker answers so much later after an outage."""

OUTAGE_SETTINGS: Final[Mapping[str, Any]] = {
    "socket.timeout.ms": SOCKET_TIMEOUT_MS,
    "reconnect.backoff.max.ms": RECONNECT_MS,
    "metadata.recovery.strategy": "rebootstrap",  # when all brokers that it knows are gone
}
