"""Waiting for what can be observed, with a deadline; never for time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


def wait_until(predicate: Callable[[], Seen], seconds: float, what: str) -> Seen:
    """Return the first true value of `predicate`, asked every 20 ms.

    Raises
    ------
    AssertionError
        After `seconds`, with `what` and the last value seen.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = predicate()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}; last seen: {seen!r}")
        time.sleep(0.02)
