"""Answers summed up: how many each version gave, as what, and how fast.

Pure. Must not know how they were asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from msgspec import Struct

from registry.wire.responses import Response

LATENCIES_KEPT: Final = 1_000
"""The latest of each group; enough for a median, however long one goes on."""


class Group(NamedTuple):
    """What the answers of a group have in common; `source` is the code of an error instead."""

    status: str
    version: str
    variant: str
    source: str


class Count(Struct, frozen=True):
    """One group: its answers, and the median milliseconds of the latest thousand that are known."""

    status: str
    version: str
    variant: str
    source: str
    answers: int
    median_ms: float | None


@dataclass(slots=True)
class _Seen:
    answers: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))


class Tally:
    """The answers so far, by group."""

    def __init__(self, responses: Iterable[Response] = ()) -> None:
        self._seen: dict[Group, _Seen] = {}
        for one in responses:
            self.add(one)

    def add(self, response: Response) -> None:
        """Count one answer."""
        source = response.error.code if response.error else response.source
        group = Group(
            response.status, response.model_version or "", response.variant or "", source or ""
        )
        seen = self._seen.setdefault(group, _Seen())
        seen.answers += 1
        if (latency_ms := response.provenance.latency_ms) is not None:
            seen.latencies_ms.append(latency_ms)

    def counts(self) -> list[Count]:
        """Return one count for each group, in the order of the groups' names."""
        return [
            Count(*group, seen.answers, _median(seen.latencies_ms))
            for group, seen in sorted(self._seen.items())
        ]


def _median(latencies_ms: deque[float]) -> float | None:
    return round(median(latencies_ms), 1) if latencies_ms else None
