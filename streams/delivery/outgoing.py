"""Outgoing records, and the two ways in which one is not delivered: refused, or not confirmed.

Values only. A record that Kafka refuses for good can be replaced (``Outgoing.instead``). For one
that nobody confirmed, its sender decides whether it is still worth sending.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from registry.error_codes import RefusalCause
from registry.errors import RefusedRecord, TransportError

Headers = list[tuple[str, str | bytes | None]]


BY_KEY: Final = -1
"""Instead of a partition: the one that Java's producers choose by the key, or any without a key."""


class Outgoing(NamedTuple):
    """One record to send, and what makes the one to send if Kafka refuses it; None: nothing.

    It goes to ``partition`` if the topic has that one, otherwise by its key.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    instead: Callable[[Refusal], Outgoing | None] | None = None
    partition: int = BY_KEY


class Refusal(NamedTuple):
    """A record that Kafka will never accept; ``place`` is its index among the records sent."""

    place: int
    record: Outgoing
    cause: RefusalCause
    why: str


class Unconfirmed(TransportError):
    """Kafka did not confirm these ``records`` in time: they may have been written or not."""

    def __init__(self, records: Sequence[Outgoing], why: str) -> None:
        topics = ", ".join(sorted({record.topic for record in records}))
        super().__init__(f"Kafka did not accept {len(records)} records of {topics}: {why}")
        self.records = tuple(records)


def refused_record(topic: str, cause: RefusalCause | None, why: str) -> RefusedRecord:
    """Return the error of a record that was refused for good and had no substitute."""
    return RefusedRecord(
        f"Kafka refused a record of {topic} for good: {why}", cause or RefusalCause.INVALID
    )
