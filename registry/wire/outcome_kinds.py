"""Outcome kinds: which interactions count, and the grammar of ``RECSTREAM_OUTCOME_EVENTS``.

Knows the values and their spelling. The grammar is ``KIND=VALUE[:floor=NUMBER]``, one for each
kind, separated by commas: ``watch=1,click=1,rate=1:floor=4`` counts ratings of 4 and more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from registry.wire.training_records.event_weights import (
    FORGET,
    KIND_PATTERN,
    LARGEST,
    LONGEST_KIND,
    MOST_KINDS,
)

DEFAULT_KINDS: Final = "watch=1,click=1"
"""What ``RECSTREAM_OUTCOME_EVENTS`` is unless it is set."""


class OutcomeKind(Struct, frozen=True):
    """What an interaction of one kind counts, if its own value is at least ``floor``."""

    value: float
    floor: float = -math.inf


def parse_outcome_kinds(text: str) -> dict[str, OutcomeKind]:
    """Return the kinds that `text` spells.

    Raises
    ------
    ValueError
        Naming what was seen and what is allowed.

    Examples
    --------
    >>> parse_outcome_kinds("click=0.5,rate=1:floor=4")
    {'click': OutcomeKind(value=0.5, floor=-inf), 'rate': OutcomeKind(value=1.0, floor=4.0)}
    >>> parse_outcome_kinds("click")
    Traceback (most recent call last):
    ValueError: 'click': must be KIND=VALUE or KIND=VALUE:floor=NUMBER, like rate=1:floor=4
    """
    found: dict[str, OutcomeKind] = {}
    for part in text.split(","):
        kind, outcome = _parse_part(part.strip())
        if kind in found:
            raise ValueError(f"{kind!r} is given twice; each kind has one value")
        found[kind] = outcome
    if len(found) > MOST_KINDS:
        raise ValueError(f"{len(found)} kinds of events; at most {MOST_KINDS} can be outcomes")
    return found


def value_of(kinds: Mapping[str, OutcomeKind], event: str, value: float | None) -> float:
    """Return what an interaction counts as an outcome; 0: it is none.

    A missing value is 1, as everywhere.
    """
    kind = kinds.get(event)
    if kind is None or (1.0 if value is None else value) < kind.floor:
        return 0.0
    return kind.value


def _parse_part(part: str) -> tuple[str, OutcomeKind]:
    shape = re.fullmatch(r"([^=:]+)=([^=:]+)(?::floor=([^=:]+))?", part)
    if shape is None:
        raise ValueError(
            f"{part!r}: must be KIND=VALUE or KIND=VALUE:floor=NUMBER, like rate=1:floor=4"
        )
    kind = shape[1].strip()
    if not re.match(KIND_PATTERN, kind) or len(kind) > LONGEST_KIND or kind == FORGET:
        raise ValueError(
            f"{part!r}: {kind!r} is no kind of interaction that can be an outcome; one begins with "
            f"a letter and has letters, digits, '_', '.' or '-', at most {LONGEST_KIND}"
        )
    value = _number(part, "value", shape[2])
    if not 0 < value <= LARGEST:
        raise ValueError(f"{part!r}: value {value:g}, must be above 0 and at most {LARGEST:g}")
    floor = -math.inf if shape[3] is None else _number(part, "floor", shape[3])
    return kind, OutcomeKind(value, floor)


def _number(part: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{part!r}: {name} {text!r} must be a number")
    return number
