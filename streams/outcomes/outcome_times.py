"""At which time a record counts: the broker's where the topic has it, else its producer's.

Pure. With ``message.timestamp.type=LogAppendTime`` on a topic, no clock of a client counts. Without
it, a time in the future cannot be true, and counts as of the reading; one in the past is believed.
Must not know what the records hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

SLACK_MS: Final = 2_000
"""A record may reach Kafka so much after its own time. Less: a window closes before the last
interactions of its users are read, and they count at the time of their reading."""

BEFORE_MS: Final = 60_000
"""Reading begins so long, or one attribution window if that is longer, before the first exposure of
the user who closed last: clocks differ, and Kafka may have taken records in another order."""


def times_of(records: Iterable[Message], now: int) -> list[int]:
    """Return the times that records count at, in milliseconds; they were read before `now`."""
    return [time_of(*message.timestamp(), now) for message in records]


def time_of(kind: int, at: int, now: int) -> int:
    """Return when a record counts whose timestamp `at` is of a `kind`; up to 0, it has none.

    >>> time_of(TIMESTAMP_LOG_APPEND_TIME, 1_002, now=1_000)  # a broker's clock, ahead
    1002
    >>> [time_of(1, at, now=1_000) for at in (900, 3_601_000, -1)]
    [900, 1000, 1000]
    """
    if at <= 0 or (at > now and kind != TIMESTAMP_LOG_APPEND_TIME):
        return now
    return at
