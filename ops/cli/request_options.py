"""Options of ``recstream request`` that say what is asked for, and what they mean.

Pure. Must not know how a request is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer
from msgspec import ValidationError, convert

from registry.ids import ItemId, parse_id
from registry.wire.requests import SessionItem

Candidates: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--candidate", metavar="ITEM", help="Rank only these items; repeatable, up to 1,000."
    ),
]
Allow: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="LABEL=VALUE",
        help="Only items with this label; repeatable: one of the values of each label.",
    ),
]
Exclude: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="LABEL=VALUE", help="No items with this label; repeatable."),
]

Like: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--like", metavar="ITEM", help="The items that are nearest to this one; repeatable."
    ),
]
Session: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--session",
        metavar="ID",
        help="Without USER: the session that the version is assigned by; default: the request.",
    ),
]
SessionItems: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--item",
        metavar="ITEM[:EVENT[=VALUE]]",
        help="Something done in this session, on top of all that USER did; repeatable. "
        "EVENT is watch unless you say so; name it if ITEM has a colon.",
    ),
]
Explain: TypeAlias = Annotated[
    bool, typer.Option("--explain", help="Show which of the user's own items each comes from.")
]


def ids_of(given: Sequence[str] | None, string_id: bool = False) -> list[ItemId] | None:
    """Return ids; a whole number is an integer id, unless all are strings.

    >>> ids_of(["7", "anna"]), ids_of(["7"], string_id=True)
    ([7, 'anna'], ['7'])
    """
    return [_id_of(text, string_id) for text in given] if given else None


def filter_of(option: str, given: Sequence[str] | None) -> dict[str, list[str]] | None:
    """Return a filter by label.

    >>> filter_of("--allow", ["genre=Drama", "genre=War", "region=eu"])
    {'genre': ['Drama', 'War'], 'region': ['eu']}

    Raises
    ------
    typer.BadParameter
        If a part is not ``LABEL=VALUE``.
    """
    found: dict[str, list[str]] = {}
    for part in given or ():
        label, equals, value = part.partition("=")
        if not (label and equals and value):
            raise typer.BadParameter(f"{option} {part!r}: must be LABEL=VALUE")
        found.setdefault(label, []).append(value)
    return found or None


def session_items_of(
    given: Sequence[str] | None, string_id: bool = False
) -> list[SessionItem] | None:
    """Return what is done in a session; an id is read as :func:`ids_of` reads it.

    >>> given = ["7", "8:rate=4.5", "film:9:watch"]
    >>> [(item.item_id, item.event, item.value) for item in session_items_of(given)]
    [(7, 'watch', None), (8, 'rate', 4.5), ('film:9', 'watch', None)]

    Raises
    ------
    typer.BadParameter
        If a part is not ``ITEM[:EVENT[=VALUE]]``.
    """
    return [_session_item_of(part, string_id) for part in given] if given else None


def _id_of(text: str, string_id: bool) -> ItemId:
    return text if string_id else parse_id(text)


def _session_item_of(part: str, string_id: bool) -> SessionItem:
    item, colon, rest = part.rpartition(":")
    if not colon:
        item, rest = part, "watch"
    event, equals, number = rest.partition("=")
    try:
        value = float(number) if equals else None
        wanted = {"item_id": _id_of(item, string_id), "event": event, "value": value}
        return convert(wanted, SessionItem)
    except (ValueError, ValidationError) as error:
        raise typer.BadParameter(
            f"--item {part!r}: must be ITEM[:EVENT[=VALUE]]: {error}"
        ) from error
