"""Requests that retention removed before they were read: how many, and when last noticed.

Pure. They can no longer be answered; their senders, and whoever set the retention, should know.
"""

from __future__ import annotations

from datetime import datetime

from registry.error_codes import NoticeCode
from streams.watch.notices import Notice


class Losses:
    """Counts since the worker's start, for the topic that is named."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._last: datetime | None = None
        self.requests = 0

    def note(self, requests: int, now: datetime) -> None:
        """Count this many more."""
        if requests > 0:
            self.requests += requests
            self._last = now

    def notice(self) -> Notice | None:
        """Return what to say of them; None if there were none."""
        if self._last is None:
            return None
        return Notice(
            NoticeCode.REQUESTS_CUT_OFF,
            f"{self.requests:,} records of {self._topic} were deleted by Kafka's retention before "
            f"this worker could read them, most recently at {self._last:%Y-%m-%d %H:%M:%S} UTC; "
            "their senders get no answer. Raise retention.ms, or run more workers",
        )
