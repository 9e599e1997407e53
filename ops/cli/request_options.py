"""Options of ``recstream request`` that say what is asked for, and what they mean.

Pure. Must not know how a request is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from registry.ids import ItemId, parse_id

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


def ids_of(given: Sequence[str] | None) -> list[ItemId] | None:
    """Return ids; a whole number is an integer id.

    >>> ids_of(["7", "anna"])
    [7, 'anna']
    """
    return [parse_id(text) for text in given] if given else None


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
