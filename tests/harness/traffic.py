"""Steady traffic: requests of users in turn at a bounded rate, in a thread of its own."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence

from harness.client import Answer, Client
from harness.waiting import wait_until

SENDS_PER_SECOND = 25
MOST_SECONDS = 240.0
"""After which it ends by itself, whatever the test does."""


class Traffic:
    """Asks until the block ends; use as a context manager.

    Parameters
    ----------
    client
        Sends, and collects the answers.
    users
        They ask in turn, again and again.
    per_second
        Requests a second.
    """

    def __init__(self, client: Client, users: Sequence[int], per_second: int) -> None:
        self.client = client
        self.users = users
        self.per_second = per_second
        self.ids: list[str] = []
        self._tag = uuid.uuid4().hex[:8]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="traffic", daemon=True)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Return once all that was sent is confirmed."""
        self._done.set()
        self._thread.join()

    def answers(self, seconds: float = 60) -> list[Answer]:
        """Stop, and return every answer once each request has one."""
        self.stop()
        return [
            answer
            for answers in self.client.wait_for(self.ids, seconds).values()
            for answer in answers
        ]

    def wait_for_more(self, seconds: float) -> None:
        """Return when as many more requests were answered as `seconds` bring."""
        sent = len(self.ids)
        wanted = sent + int(seconds * self.per_second)
        wait_until(lambda: len(self.ids) >= wanted, seconds * 3 + 10, f"{wanted} requests")
        self.client.wait_for(self.ids[sent:wanted])

    def _ask(self) -> None:
        started = time.monotonic()
        size = max(1, self.per_second // SENDS_PER_SECOND)
        while not self._done.is_set() and time.monotonic() - started < MOST_SECONDS:
            first = len(self.ids)
            numbers = range(first, first + size)
            self.client.send(
                {
                    "request_id": f"{self._tag}-{number}",
                    "user_id": self.users[number % len(self.users)],
                    "k": 5,
                }
                for number in numbers
            )
            self.ids.extend(f"{self._tag}-{number}" for number in numbers)
            ahead = len(self.ids) / self.per_second - (time.monotonic() - started)
            self._done.wait(max(0.0, ahead))
