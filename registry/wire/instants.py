"""Instants: a record's times, as `datetime` inside and as ISO 8601 with milliseconds on the wire.

A type of its own, because `msgspec` writes a plain `datetime` otherwise (``Z``, and no zeros):
releases before compare the texts, and their order must stay that of time. Hence the two hooks,
which whatever encodes or decodes a record with times must pass to `msgspec`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeAlias

from msgspec import Meta


class Instant(datetime):
    """A point in time, with its zone; as text, it is what goes over the wire.

    >>> noon = Instant.read("2026-01-05T12:00:00Z")
    >>> str(noon), noon < Instant.read("2026-01-05T14:00+01:00")
    ('2026-01-05T12:00:00.000+00:00', True)
    """

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a time in ISO 8601; UTC unless it says otherwise.

        Raises
        ------
        ValueError
            If it is none.
        """
        read = cls.fromisoformat(text)
        return read if read.tzinfo else read.replace(tzinfo=UTC)

    @classmethod
    def of(cls, seconds: float) -> Self:
        """Return the time of so many seconds since 1970, to the millisecond below.

        >>> str(Instant.of(1_795_435_200.1239))
        '2026-11-23T12:00:00.123+00:00'
        """
        exact = cls.fromtimestamp(seconds, UTC)
        return exact.replace(microsecond=exact.microsecond // 1000 * 1000)

    def __str__(self) -> str:
        """Return ISO 8601, with milliseconds; with microseconds if it has any."""
        return self.isoformat(
            timespec="microseconds" if self.microsecond % 1000 else "milliseconds"
        )


InstantField: TypeAlias = Annotated[
    Instant, Meta(extra_json_schema={"type": "string", "format": "date-time"})
]
"""How a record declares a time."""

BEGINNING = Instant(1970, 1, 1, tzinfo=UTC)
"""For what has no time: a command that is only tried out."""


def write_instant(value: Any) -> str:
    """Give `msgspec` the text of an instant (``enc_hook``)."""
    if isinstance(value, Instant):
        return str(value)
    raise NotImplementedError(type(value))


def read_instant(kind: type, value: Any) -> Instant:
    """Read an instant for `msgspec` (``dec_hook``)."""
    if kind is not Instant:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise TypeError(f"Expected a time as `str`, got `{type(value).__name__}`")
    return Instant.read(value)
