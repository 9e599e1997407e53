"""Counts answers by status, version, variant and source, with their median latency. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from msgspec import Struct

from registry.wire.responses import Response

LATENCIES_KEPT: Final = 1_000
"""The latest latencies of each group: enough for a median, in bounded memory."""


class Group(NamedTuple):
    """What the answers of a group have in common; for an error, `source` is its code."""

    status: str
    version: str
    variant: str
    source: str


class Count(Struct, frozen=True):
    """One group: its answers, and the median milliseconds of its latest thousand latencies."""

    status: str
    version: str
    variant: str
    source: str
    answers: int
    median_ms: float | None


@dataclass(slots=True)
class _GroupCounts:
    answers: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))


class AnswerTally:
    """Counts the answers so far, by group."""

    def __init__(self, responses: Iterable[Response] = ()) -> None:
        self._seen: dict[Group, _GroupCounts] = {}
        for response in responses:
            self.add(response)

    def add(self, response: Response) -> None:
        """Count one answer."""
        source = response.error.code if response.error else response.source
        version = response.model_version or " + ".join(response.versions.values())
        group = Group(response.status, version, response.counted_as, source or "")
        seen = self._seen.setdefault(group, _GroupCounts())
        seen.answers += 1
        if (latency_ms := response.provenance.latency_ms) is not None:
            seen.latencies_ms.append(latency_ms)

    def counts(self) -> list[Count]:
        """Return one count for each group, sorted by group."""
        return [
            Count(*group, seen.answers, _median(seen.latencies_ms))
            for group, seen in sorted(self._seen.items())
        ]


def _median(latencies_ms: deque[float]) -> float | None:
    return round(median(latencies_ms), 1) if latencies_ms else None
