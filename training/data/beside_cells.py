"""What is gathered beside the cells: titles, older events of other kinds, and what was taken back.

Pure: knows columns of events and rows of users and items; must not know how cells are made.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from registry.latest_rows import Offsets, latest_of_each
from training.data.matrix import Floats, Mask, OlderTimes, Rows, UndoneCells


class Titles:
    """The latest title of each item; between titles of the same time, the one further on counts.

    Also that of an event that was forgotten: what an item is called tells nothing of the user.
    """

    def __init__(self, items: int) -> None:
        self._at = np.full(items, -np.inf)
        self._title: dict[int, str] = {}

    def take(self, item: Rows, time: Floats, titles: pa.ChunkedArray) -> None:
        """Look at the titles of some rows; -1 stands for no item."""
        titled = np.flatnonzero(pc.is_valid(titles).to_numpy() & (item >= 0))
        titled = titled[latest_of_each(item[titled].astype(np.int64), time[titled])]
        titled = titled[time[titled] >= self._at[item[titled]]]
        self._at[item[titled]] = time[titled]
        found = titles.take(pa.array(titled)).to_pylist()
        self._title.update(zip(item[titled].tolist(), found, strict=True))

    def of(self, chosen: Mask) -> tuple[str | None, ...]:
        """Return the titles of the chosen items; None where none was titled."""
        return tuple(self._title.get(row) for row in np.flatnonzero(chosen).tolist())


class OlderEvents:
    """The latest events that are older than their cells, of some users after the others."""

    def __init__(self) -> None:
        self._found: list[tuple[Offsets, NDArray[np.integer], Floats]] = []

    def note(self, cell: Offsets, kind: NDArray[np.integer], time: Floats, latest: Floats) -> None:
        """Keep those whose `time` is before the `latest` of their cell."""
        before = time < latest
        if before.any():
            self._found.append((cell[before], kind[before], time[before]))

    def by_kind(self) -> Iterator[tuple[int, OlderTimes]]:
        """Yield the kinds that have any, ascending, with where and when."""
        if self._found:
            cell, kind, time = map(np.concatenate, zip(*self._found, strict=True))
            for code in np.unique(kind).tolist():
                yield code, OlderTimes(cell[kind == code], time[kind == code])


class UndoneNotes:
    """The undo events that are the latest of their kind, of some users after the others."""

    def __init__(self, users: int) -> None:
        self._found: list[tuple[Offsets, Rows, NDArray[np.int8], Floats]] = []
        self.users: Mask = np.zeros(users, np.bool_)
        self.kinds: set[int] = set()

    def note(self, user: Offsets, item: Rows, kind: NDArray[np.int8], time: Floats) -> None:
        """Keep these."""
        if len(user):
            self._found.append((user, item, kind, time))
            self.kinds.update(np.unique(kind).tolist())

    def by_kind(self, items: Mask) -> dict[int, UndoneCells]:
        """Return those of these items by kind, ascending, and note whose they are."""
        if not self._found:
            return {}
        user, item, kind, time = map(np.concatenate, zip(*self._found, strict=True))
        self.users[user[items[item]]] = True
        found = {}
        for code in np.unique(kind[items[item]]).tolist():
            chosen = items[item] & (kind == code)
            found[code] = UndoneCells(user[chosen].astype(np.int32), item[chosen], time[chosen])
        return found
