"""From a row's cells to an interaction.

Pure. Knows roles of columns and what a cell of each may hold; must not know files. In a source
without types :func:`registry.ids.parse_id` decides an id's type; JSON and Parquet keep theirs. An
empty cell is an absent field.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from ops.ingest.column_roles import (
    FIELD_BY_ROLE,
    LEAST_MILLISECONDS,
    Cells,
    Places,
    Unit,
    number_of,
)
from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.ids import BLANKS, MOST_INTEGER, is_whole_float, parse_id
from registry.wire.training_records.interactions import Interaction

WHOLE_FLOATS: Final = "ids such as 42.0 were read as integers"
"""What :class:`RowReader` counts."""


class RowReader:
    """Makes interactions of rows.

    Parameters
    ----------
    names
        Of the columns.
    places
        Of the columns that are used, by role.
    event
        What all events are; None if a column says it.
    unit
        Of times that are numbers or texts.
    noticed
        Counts what is worth a warning.
    """

    def __init__(
        self,
        names: Sequence[str],
        places: Places,
        event: str | None,
        unit: Unit,
        noticed: Counter[str],
    ) -> None:
        self._noticed = noticed
        self._unit = unit
        self._user = names[places["user"]]
        self._constant = {} if event is None else {"event": event}
        convert: Mapping[str, Callable[[str, object], object]] = {
            "user": self._id,
            "item": self._id,
            "value": _value,
            "time": self._time,
        }
        self._columns = [
            (place, names[place], FIELD_BY_ROLE[role], convert.get(role, _text))
            for role, place in places.items()
        ]

    def read(self, cells: Cells) -> Interaction:
        """Return the interaction.

        Raises
        ------
        RecordError
            Naming the column, what it holds and what it must be.
        """
        fields: dict[str, object] = dict(self._constant)
        for place, name, field, convert in self._columns:
            cell = cells[place]
            if cell is not None and cell != "":
                fields[field] = convert(name, cell)
        if "user_id" not in fields:
            raise RecordError(f"{self._user} must not be empty", RecordCode.INVALID)
        if fields.get("event") == "rate" and "value" not in fields:
            raise RecordError("a rate needs a value", RecordCode.NO_RATING)
        try:
            return msgspec.convert(fields, Interaction)
        except msgspec.ValidationError as error:
            raise RecordError(f"Interaction: {error}", RecordCode.INVALID) from error

    def _id(self, _name: str, cell: object) -> object:
        if isinstance(cell, str):
            found = parse_id(cell)
            if "." in cell and is_whole_float(cell):
                self._noticed[WHOLE_FLOATS] += 1
            return found
        return cell

    def _time(self, name: str, cell: object) -> object:
        if isinstance(cell, datetime.datetime):
            return _seconds(cell)
        if isinstance(cell, datetime.date):
            return _seconds(datetime.datetime(cell.year, cell.month, cell.day))
        return _SECONDS[self._unit](name, cell)


class TypedRowReader(RowReader):
    """The same for sources whose ids have types."""

    def _id(self, _name: str, cell: object) -> object:
        """Keep the type; a float that is whole is what pandas makes of an integer column's gaps."""
        if isinstance(cell, float) and cell.is_integer() and abs(cell) <= MOST_INTEGER:
            self._noticed[WHOLE_FLOATS] += 1
            return int(cell)
        if isinstance(cell, float):
            raise RecordError(f"{cell}: an id must be an integer or a string", RecordCode.INVALID)
        return cell


def seconds_of_iso(name: str, cell: object) -> float:
    """Return the seconds since 1970 of an ISO 8601 text; without a zone it is UTC.

    >>> seconds_of_iso("at", "1970-01-02")
    86400.0

    Raises
    ------
    RecordError
        If it is none.
    """
    try:
        return _seconds(datetime.datetime.fromisoformat(str(cell).strip(BLANKS)))
    except ValueError as error:
        raise RecordError(
            f"{name} {cell!r}: must be ISO 8601, like 2016-11-01T11:33:20Z (--unit iso)",
            RecordCode.INVALID,
        ) from error


def _seconds(moment: datetime.datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _of_seconds(name: str, cell: object) -> float:
    number = _number(name, cell, " of seconds (for dates use --unit iso)")
    if abs(number) >= LEAST_MILLISECONDS:
        raise RecordError(
            f"{name} {cell}: too large for seconds since 1970; for milliseconds use --unit ms",
            RecordCode.INVALID,
        )
    return number


def _of_milliseconds(name: str, cell: object) -> float:
    number = _number(name, cell, " of milliseconds (for dates use --unit iso)")
    if not LEAST_MILLISECONDS <= abs(number) < 1000 * LEAST_MILLISECONDS:
        raise RecordError(
            f"{name} {cell}: not milliseconds between 1973 and 5138; for seconds use --unit s",
            RecordCode.INVALID,
        )
    return number / 1000


_SECONDS: Final[Mapping[Unit, Callable[[str, object], float]]] = {
    "s": _of_seconds,
    "ms": _of_milliseconds,
    "iso": seconds_of_iso,
}


def _value(name: str, cell: object) -> float:
    hint = " with a decimal point" if isinstance(cell, str) and "," in cell else ""
    return _number(name, cell, hint)


def _number(name: str, cell: object, hint: str) -> float:
    number = number_of(cell)
    if not math.isfinite(number):
        raise RecordError(f"{name} {cell!r}: must be a number{hint}", RecordCode.INVALID)
    return number


def _text(_name: str, cell: object) -> object:
    return (cell.strip(BLANKS) or None) if isinstance(cell, str) else cell
