"""Deadlines of requests: when one has passed, by which clock. Pure."""

from __future__ import annotations


def is_expired(sent_ms: int, deadline_ms: int, received_ms: float, now_ms: float) -> bool:
    """Tell whether a request's deadline has passed.

    It counts from the record's timestamp: the producer's, or the broker's time of receipt where the
    topic has ``message.timestamp.type=LogAppendTime``. One that is later than the request was read,
    or missing, cannot be true: then it counts from there, or an hour ahead would mean an hour more.

    Parameters
    ----------
    sent_ms
        The record's timestamp, in milliseconds since the epoch.
    deadline_ms
        Milliseconds after it.
    received_ms
        When the worker had read the record; infinity if that is not known.
    now_ms
        The present.

    >>> is_expired(1_000, 50, received_ms=1_020, now_ms=1_051)
    True
    >>> is_expired(3_601_000, 50, received_ms=1_020, now_ms=1_060)
    False
    >>> is_expired(3_601_000, 50, received_ms=1_020, now_ms=1_071)
    True
    """
    start = sent_ms if 0 <= sent_ms <= received_ms else received_ms
    return now_ms > start + deadline_ms
