"""Ids that a reader would misinterpret.

Pure: sets of ids in, faults out. JSON and Parquet keep an id's type, everything else uses
:func:`registry.ids.parse_id`. So a string id that looks like an integer cannot be named in files,
command lines and URLs, and may have a twin: the same user under two ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from typing import Literal, TypeAlias

from msgspec import Struct

from registry.ids import parse_id, twin_of

FaultKind: TypeAlias = Literal["changes_type", "two_types", "forgets_nobody"]


class IdFault(Struct, frozen=True):
    """An id, where it is, and what is wrong with it.

    Parameters
    ----------
    kind
        ``changes_type``: CSV, command line and URLs name `twin` instead. ``two_types``: and `twin`
        is there, too. ``forgets_nobody``: a `forget` of a user without interactions; `twin` has
        some, unless it is None.
    where
        A version, or the interaction topic.
    of
        A user's or an item's.
    """

    kind: FaultKind
    where: str
    of: Literal["user", "item"]
    id: int | str
    twin: int | str | None


def type_faults(
    where: str, of: Literal["user", "item"], ids: Iterable[int | str], known: Collection[int | str]
) -> Iterator[IdFault]:
    """Yield the texts that sources without types read as something else.

    Parameters
    ----------
    where, of
        Of the faults.
    ids
        The ids.
    known
        The same, quick to look up.

    Examples
    --------
    >>> found = type_faults("v0.1", "user", ["42", "7", 7, "042"], {7})
    >>> [(fault.kind, fault.twin) for fault in found]
    [('changes_type', 42), ('two_types', 7)]
    """
    for text in ids:
        if isinstance(text, str) and (read := parse_id(text)) != text:
            kind: FaultKind = "two_types" if read in known else "changes_type"
            yield IdFault(kind, where, of, text, read)


def forget_faults(
    where: str, forgotten: Iterable[int | str], users: Set[int | str]
) -> Iterator[IdFault]:
    """Yield the `forget` events of users who have no interaction, by id.

    >>> [(fault.id, fault.twin) for fault in forget_faults("topic", [42, 5, "x"], {"42", 5})]
    [(42, '42'), ('x', None)]
    """
    for user in forgotten:
        if user not in users:
            twin = twin_of(user)
            yield IdFault("forgets_nobody", where, "user", user, twin if twin in users else None)
