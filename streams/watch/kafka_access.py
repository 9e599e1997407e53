"""Whether Kafka still grants this worker access: a rotated password, an expired certificate.

Knows the producer's error, and its cause. Must not know records. Brokers authenticate again at
reconnects, and after `connections.max.reauth.ms`; all clients of a worker have the same settings,
so a refusal of one holds for all.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError

from registry.connection.refused_connections import Cause
from registry.error_codes import ReadinessCode
from streams.watch.notices import Reason

LOOK_SECONDS: Final = 5.0
"""Between two looks for the cause: each is a new connection, with a wrong password a failed one,
and some brokers lock a user out who fails too often."""

COMPLAINTS: Final = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._ALL_BROKERS_DOWN}
)


class AccessCheck:
    """Looks for the cause as long as the client complains.

    Parameters
    ----------
    find_cause
        Looks, and blocks meanwhile; None if all is well.
    """

    def __init__(self, find_cause: Callable[[], Cause | None]) -> None:
        self._find_cause = find_cause
        self._complained = False
        self._next_at = -math.inf
        self._cause: Cause | None = None

    def note(self, error: KafkaError) -> None:
        """Note what a client complains of; from any thread."""
        if error.code() in COMPLAINTS:
            self._complained = True

    async def look(self, now: float) -> None:
        """Look for the cause, if there was a complaint; `now` in seconds, on a monotonic clock."""
        if not (self._complained or self._cause) or now < self._next_at:
            return
        self._complained, self._next_at = False, now + LOOK_SECONDS
        cause = await asyncio.to_thread(self._find_cause)
        self._cause = cause if cause is not None and cause.final else None

    def reason(self) -> Reason | None:
        """Return why Kafka refuses access to this worker; None if it grants it."""
        if self._cause is None:
            return None
        return Reason(
            ReadinessCode.KAFKA_REFUSES_ACCESS,
            f"Kafka refuses access to this worker: {self._cause.sentence}. Correct its settings "
            "and restart it; it recovers automatically if Kafka accepts the old ones again",
        )
