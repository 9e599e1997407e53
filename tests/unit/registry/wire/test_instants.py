"""Instants: the text that goes over the wire, and what is read as a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from harness.cells import each_cell

from registry.errors import RecordError
from registry.wire.codec import decode, encode
from registry.wire.command_results import CommandResult
from registry.wire.instants import Instant
from tests.unit.registry.builders import a_state

NOON = Instant.read("2026-01-01T12:00:00Z")


@each_cell(
    ("text", "written"),
    [
        ("2026-01-01T12:00:00.000+00:00", "2026-01-01T12:00:00.000+00:00"),  # as all releases write
        ("2026-01-01T12:00:00.120+00:00", "2026-01-01T12:00:00.120+00:00"),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00.000+00:00"),
        ("2026-01-01T13:00:00.5+01:00", "2026-01-01T13:00:00.500+01:00"),
        ("2026-01-01T12:00:00.000001+00:00", "2026-01-01T12:00:00.000001+00:00"),
    ],
)
def test_a_time_is_written_in_the_milliseconds_that_every_release_compares(
    text: str, written: str
) -> None:
    assert str(Instant.read(text)) == f"{Instant.read(text)}" == written


def test_a_time_without_a_zone_is_utc() -> None:
    assert Instant.read("2026-01-01T12:00:00") == NOON == Instant.read("2026-01-01T13:00:00+01:00")


def test_what_is_reckoned_with_a_time_is_still_one() -> None:
    later: Instant = NOON + timedelta(milliseconds=1)
    assert (type(later), str(later)) == (Instant, "2026-01-01T12:00:00.001+00:00")


def test_the_bytes_of_a_record_are_those_of_its_texts() -> None:
    result = CommandResult("c", "swap", "eu", "applied", 7, "anna", NOON, after=a_state())
    payload = encode(result)
    assert b'"at":"2026-01-01T12:00:00.000+00:00"' in payload
    assert encode(decode(CommandResult, payload)) == payload


@each_cell("at", ["", "yesterday", "12:00"])
def test_a_record_whose_time_is_none_is_refused_by_the_name_of_its_field(at: str) -> None:
    payload = encode(CommandResult("c", "swap", "eu", "applied", 7, "anna", NOON))
    with pytest.raises(RecordError, match=r"Invalid isoformat string.* at `\$\.at`"):
        decode(CommandResult, payload.replace(str(NOON).encode(), at.encode()))
