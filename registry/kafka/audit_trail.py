"""The audit trail: the outcome of each command, and what it changed, for people.

Every result is a record of the control-results topic, so the trail survives every worker. It is
read from its end backwards, as far as needed. Knows filters and words; must not know the rules.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, get_args

from confluent_kafka import Message
from msgspec.structs import replace

from registry.errors import ConfigurationError, RecordError
from registry.kafka.topic_reader import connected, only_partition, slice_of
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import decode
from registry.wire.command_results import CommandResult, ResultType
from registry.wire.origins import Origin

MAX_LIMIT: Final = 1000
"""Most results of one reading: a page that lists more helps nobody, and each holds two states."""

READ_SECONDS: Final = 15.0
"""How long one reading may take. The whole trail of years is read in less."""

FIRST_CHUNK: Final = 100
CHUNK_GROWTH: Final = 4
LARGEST_CHUNK: Final = 5_000
"""Records that are read at once, from the end backwards: few, then more and more."""

CLOCK_SKEW: Final = timedelta(hours=1)
"""A result's own timestamp is later than its command's, if clocks differ by less than this; older
records are not read for ``since``."""


@dataclass(frozen=True, slots=True)
class TrailQuery:
    """Which results are asked for.

    Parameters
    ----------
    environment
        Whose; None for all that share the topic.
    limit
        How many at most, the newest, 1..1000.
    since, until
        Bounds of ``at``, the command's time: ``since <= at < until``. With a time zone.
    types
        Types of result; empty for all.
    issued_by
        Who, exactly as in the result; None for everybody.
    origin
        Of the command; None for any.

    Raises
    ------
    ConfigurationError
        If one of them can match nothing; the message says what is allowed.
    """

    environment: str | None
    limit: int = 50
    since: datetime | None = None
    until: datetime | None = None
    types: tuple[str, ...] = ()
    issued_by: str | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise ConfigurationError(f"limit {self.limit}: must be between 1 and {MAX_LIMIT}")
        allowed = get_args(ResultType)
        for name in self.types:
            if name not in allowed:
                raise ConfigurationError(f"type {name!r}: must be one of {', '.join(allowed)}")
        for name, at in (("since", self.since), ("until", self.until)):
            if at is not None and at.tzinfo is None:
                raise ConfigurationError(f"{name} {at}: needs a time zone, like {at}+00:00")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ConfigurationError(f"since {self.since}: must be before until {self.until}")

    def includes(self, result: CommandResult) -> bool:
        """Tell whether `result` is asked for."""
        return (
            self.environment in (None, result.environment)
            and (not self.types or result.type in self.types)
            and self.issued_by in (None, result.issued_by)
            and self.origin in (None, result.origin)
            and (self.since is None or result.at >= self.since)
            and (self.until is None or result.at < self.until)
        )


class Trail(NamedTuple):
    """Results, the newest first; ``unreadable`` records among those read were none."""

    results: list[CommandResult]
    unreadable: int


def read_trail(
    settings: Settings,
    *,
    environment: str | None,
    limit: int = 50,
    since: datetime | None = None,
    until: datetime | None = None,
    types: tuple[str, ...] = (),
    issued_by: str | None = None,
    origin: Origin | None = None,
) -> list[CommandResult]:
    """Return the results that :class:`TrailQuery` describes, the newest first. Reads Kafka.

    Raises
    ------
    ConfigurationError
        As :class:`TrailQuery` does.
    TransportError
        As :func:`trail_of` does.
    """
    asked = TrailQuery(environment, limit, since, until, types, issued_by, origin)
    return trail_of(settings, asked).results


def trail_of(settings: Settings, asked: TrailQuery) -> Trail:
    """Return what was asked for, and how many records were no results. Reads Kafka.

    Raises
    ------
    TransportError
        If Kafka does not answer, the topic is missing, or `READ_SECONDS` do not suffice.
    """
    deadline = time.monotonic() + READ_SECONDS
    found: list[CommandResult] = []
    unreadable = 0
    for chunk in _backwards(settings, asked, deadline):
        results = [_decoded(message) for message in reversed(chunk)]
        unreadable += results.count(None)
        found += [result for result in results if result is not None and asked.includes(result)]
        found = distinct(found)
        if len(found) >= asked.limit:
            break
    return Trail(found[: asked.limit], unreadable)


def _backwards(settings: Settings, asked: TrailQuery, deadline: float) -> Iterator[list[Message]]:
    """Yield the topic's records from its end to its beginning, in growing chunks."""
    topic = topics_of(settings).control_results
    with connected(settings) as consumer:
        partition, low, end = only_partition(settings, consumer, topic)
        size = FIRST_CHUNK
        while end > low:
            start = max(low, end - size)
            chunk = slice_of(consumer, partition, start, end, deadline)
            yield chunk
            if (
                asked.since is not None
                and chunk
                and _written_at(chunk[0]) + CLOCK_SKEW < asked.since
            ):
                return
            end, size = start, min(size * CHUNK_GROWTH, LARGEST_CHUNK)


def _written_at(message: Message) -> datetime:
    _, timestamp_ms = message.timestamp()
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)


def _decoded(message: Message) -> CommandResult | None:
    try:
        return decode(CommandResult, message.value())
    except RecordError:
        return None


def distinct(results: Iterable[CommandResult]) -> list[CommandResult]:
    """Return `results` without repetitions, in their order.

    A command that is delivered again after a crash is reported again, without its states: the
    report that has them is kept.
    """
    by_decision: dict[CommandResult, CommandResult] = {}
    for result in results:
        decision = replace(result, before=None, after=None)
        if by_decision.get(decision, decision).after is None:
            by_decision[decision] = result
    return list(by_decision.values())
