"""A raw record, as a consumer hands it over. The shape alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class RawRecord(Protocol):
    """What a consumer hands over: one record of the request topic."""

    topic: str
    partition: int
    offset: int
    timestamp: Any
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
