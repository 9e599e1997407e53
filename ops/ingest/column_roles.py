"""Which column is what: named by the user, known by its name, or seen by its content.

Pure. Knows names and cells of columns; must not know files nor formats.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from registry.errors import ConfigurationError

Role: TypeAlias = Literal["user", "item", "event", "value", "time", "title"]
Unit: TypeAlias = Literal["s", "ms", "iso"]
Places: TypeAlias = Mapping[Role, int]
Cells: TypeAlias = Sequence[object]

INTERACTION_ROLES: Final[tuple[Role, ...]] = ("user", "item", "event", "value", "time", "title")
TITLE_ROLES: Final[tuple[Role, ...]] = ("item", "title")

FIELD_BY_ROLE: Final[Mapping[Role, str]] = {
    "user": "user_id",
    "item": "item_id",
    "event": "event",
    "value": "value",
    "time": "timestamp",
    "title": "title",
}
"""What a column becomes in an interaction."""

RATING_NAMES: Final = frozenset(("rating", "ratings", "stars", "score", "bookrating", "userrating"))
"""A column of these makes events `rate`; a number of another name is a count, or a strength."""

_NAMES: Final[Mapping[Role, frozenset[str]]] = {
    "user": frozenset(
        ("user", "userid", "uid", "username", "customer", "customerid", "visitor", "visitorid")
    ),
    "item": frozenset(("item", "itemid", "iid", "product", "productid", "sku", "asin"))
    | {"movie", "movieid", "artist", "artistid", "track", "trackid", "song", "songid"}
    | {"book", "bookid", "isbn", "article", "articleid"},
    "event": frozenset(("event", "eventtype", "action")),
    "value": RATING_NAMES | {"value", "weight", "count", "plays", "playcount"},
    "time": frozenset(("timestamp", "time", "ts", "date", "datetime", "createdat", "unixtime")),
    "title": frozenset(("title",)),
}
_OF_TITLES: Final[Mapping[Role, frozenset[str]]] = {
    "item": _NAMES["item"] | {"id"},
    "title": frozenset(("title", "name")),
}
LEAST_MILLISECONDS: Final = 1e11
"""As seconds that is the year 5138, as milliseconds 1973: no list of events has both."""

LEAST_GUESSED_SECONDS: Final = 1e8
"""1973. A last column of integers beyond it, without a name, is taken for a time."""


def roles_named(text: str, allowed: Sequence[Role]) -> dict[Role, str]:
    """Return the columns by role, of an option like ``user=userId,item=artistID``.

    >>> roles_named("user=userId,item=2", INTERACTION_ROLES)
    {'user': 'userId', 'item': '2'}

    Raises
    ------
    ConfigurationError
        If it is not like that, or lacks a role that is needed (the first of `allowed`, and items).
    """
    found: dict[Role, str] = {}
    for part in text.split(","):
        name, _, column = (piece.strip() for piece in part.partition("="))
        role = next((known for known in allowed if known == name), None)
        if role is None or not column or role in found:
            raise ConfigurationError(
                f"columns {text!r}: {part!r} must be ROLE=COLUMN, each role once; the roles are "
                f"{', '.join(allowed)}"
            )
        found[role] = column
    needed = allowed[:1] if "event" in found else allowed[:2]
    if missing := [role for role in needed if role not in found]:
        raise ConfigurationError(f"columns {text!r}: lacks {', '.join(missing)}")
    return found


def places_named(named: Mapping[Role, str], names: Sequence[str], *, header: bool) -> Places:
    """Return where the named columns are; a number that is not a name is a position, from 1.

    Raises
    ------
    ConfigurationError
        Naming the column that is not there, or is there twice, and those that are.
    """
    places: dict[Role, int] = {}
    for role, column in named.items():
        if header and column in names:
            if names.count(column) > 1:
                raise ConfigurationError(f"{role}={column}: two columns have this name")
            places[role] = names.index(column)
        elif column.isascii() and column.isdigit() and 1 <= int(column) <= len(names):
            places[role] = int(column) - 1
        else:
            has = f"the columns are {', '.join(names)}" if header else "there is no header"
            raise ConfigurationError(
                f"{role}={column}: no such column; {has}; a position from 1 to {len(names)} works "
                f"too"
            )
    return places


def places_by_name(names: Sequence[str], *, titles: bool = False) -> Places:
    """Return where the columns are whose names say what they hold; none of which there are two.

    >>> places_by_name(["userID", "artistID", "weight", "x"])
    {'user': 0, 'item': 1, 'value': 2}
    """
    found: dict[Role, int] = {}
    plain = [_plain(name) for name in names]
    for role, known in (_OF_TITLES if titles else _NAMES).items():
        places = [place for place, name in enumerate(plain) if name in known]
        if len(places) == 1:
            found[role] = places[0]
    return found


def places_by_shape(rows: Sequence[Cells]) -> Places:
    """Return user, item, value and time, in this order, of two to four columns without names.

    Empty if the rows do not look so: the third, and what follows, must be numbers.
    """
    width = len(rows[0]) if rows else 0
    if not 2 <= width <= 4 or not all(is_column_of_numbers(rows, n) for n in range(2, width)):
        return {}
    last_is_time = width > 2 and all(number_of(row[-1]) >= LEAST_GUESSED_SECONDS for row in rows)
    if width == 4 and not last_is_time:
        return {}
    roles: dict[int, tuple[Role, ...]] = {2: (), 3: ("value",), 4: ("value", "time")}
    rest = ("time",) if width == 3 and last_is_time else roles[width]
    return {role: place for place, role in enumerate(("user", "item", *rest))}


def has_header(rows: Sequence[Cells]) -> bool | None:
    """Tell whether the first row is names of columns; None if it could be either."""
    first, *others = rows
    if any(is_number(cell) for cell in first) or not any(first):
        return False
    if {"user", "item"} <= places_by_name([str(cell) for cell in first]).keys():
        return True
    numbers = others and any(is_column_of_numbers(others, n) for n in range(len(first)))
    return True if numbers else None


def unit_seen(cells: Cells) -> Unit:
    """Return the unit of times: milliseconds or ISO 8601 if all look like that, otherwise seconds.

    >>> unit_seen(["1478000000000"]), unit_seen(["2016-11-01T11:33:20Z"]), unit_seen(["1478000000"])
    ('ms', 'iso', 's')
    """
    given = [cell for cell in cells if cell not in (None, "")]
    if given and all(number_of(cell) >= LEAST_MILLISECONDS for cell in given):
        return "ms"
    return "iso" if given and all(_is_moment(cell) for cell in given) else "s"


def event_of(names: Sequence[str], places: Places) -> str | None:
    """Return what all events are if no column says it: `rate` if the value's column is a rating's.

    >>> event_of(["u", "i", "Stars"], {"user": 0, "item": 1, "value": 2})
    'rate'
    """
    if "event" in places:
        return None
    value = _plain(names[places["value"]]) if "value" in places else ""
    return "rate" if value in RATING_NAMES else "watch"


def is_number(cell: object) -> bool:
    """Tell whether a cell is a finite number, or the text of one."""
    return math.isfinite(number_of(cell))


def number_of(cell: object) -> float:
    """Return a cell's number; NaN if it is none."""
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return math.nan
    if isinstance(cell, str) and (not cell.isascii() or "_" in cell):
        return math.nan  # which Python would read, and nobody else
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return math.nan


def is_column_of_numbers(rows: Sequence[Cells], place: int) -> bool:
    """Tell whether all rows that reach so far have a number there."""
    return all(is_number(row[place]) for row in rows if place < len(row))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_moment(cell: object) -> bool:
    if not isinstance(cell, str) or is_number(cell):
        return False
    try:
        datetime.datetime.fromisoformat(cell.strip())
    except ValueError:
        return False
    return True
