"""The query of the history endpoint: which commands its parameters select. Must not read Kafka."""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET, UnsetType

from registry.error_codes import RecordCode
from registry.errors import ConfigurationError
from registry.kafka.audit_trail import TrailQuery
from registry.wire.instants import Instant
from streams.http.command_arguments import from_text, pairs
from streams.http.endpoint_arguments import HistoryQuery
from streams.http.problems import Refused


def asked_of(query: str, environment: str) -> TrailQuery:
    """Return which results the query string of the history asks for.

    Raises
    ------
    RecordError, Refused
        If it names an unknown parameter, or one that can match nothing.
    """
    given = from_text(HistoryQuery, pairs(query))
    try:
        return TrailQuery(
            environment,
            given.limit,
            _moment("since", given.since),
            _moment("until", given.until),
            () if given.type is UNSET else tuple(given.type.split(",")),
            None if given.issued_by is UNSET else given.issued_by,
        )
    except ConfigurationError as error:
        raise Refused(422, RecordCode.INVALID, str(error)) from error


def _moment(name: str, text: str | UnsetType) -> datetime | None:
    if text is UNSET:
        return None
    try:
        return Instant.read(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{name} {text!r}: must be a time like 2026-01-05T12:00:00Z ({error})"
        ) from error
