"""Rows by id: where a user or an item is in the arrays, in a quarter of a dictionary's memory.

Pure. Knows that ids of two types are never the same (``5`` and ``"5"``). Must not know what a row
holds. A dictionary of a million ids takes about 100 bytes an id, as much as 25 factors; this takes
12 for an integer, and 20 plus its UTF-8 for a string, and finds an id in about a microsecond.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TypeVar

import mmh3
import numpy as np
import numpy.typing as npt

from registry.ids import LEAST_INTEGER, MOST_INTEGER, ItemId, UserId, pieces

Number = TypeVar("Number", np.int32, np.int64)

MANY: Final = 16
"""Ids that are looked up together. For fewer, NumPy's calls cost more than they save."""


class Rows:
    """The row of each id.

    Parameters
    ----------
    ids
        By row, without repetitions.

    Examples
    --------
    >>> rows = Rows([7, "7", -2, 2**70])
    >>> [rows.of(known) for known in (7, "7", -2, 2**70, 8, True, 7.0, None)]
    [0, 1, 2, 3, None, None, None, None]
    """

    def __init__(self, ids: Sequence[UserId | ItemId]) -> None:
        numbers: list[int] = []
        texts: list[int] = []
        self._large: dict[int, int] = {}
        for row, known in enumerate(ids):
            if type(known) is str:
                texts.append(row)
            elif type(known) is int and LEAST_INTEGER <= known <= MOST_INTEGER:
                numbers.append(row)
            elif type(known) is int:
                self._large[known] = row
        self._numbers, self._number_rows = _sorted([ids[row] for row in numbers], numbers)
        encoded = [_encoded(str(ids[row])) for row in texts]
        self._hashes, self._places = _sorted([_hash(known) for known in encoded], range(len(texts)))
        self._text_rows = _array(texts, np.int32)
        # numpy's own search lets go of the interpreter at each call: others would take it
        self._sorted_numbers = self._numbers.data
        self._sorted_hashes = self._hashes.data
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self._bytes = b"".join(encoded)

    def of(self, known: object) -> int | None:
        """Return the row of an id, by its value and exact type; None if it has none."""
        if type(known) is int:
            return self._of_number(known)
        return self._of_text(known) if type(known) is str else None

    def all_of(self, known: Sequence[object]) -> list[int | None]:
        """Return the row of each id; of many integers in one search.

        >>> Rows([7, "7", -2]).all_of([-2, 8, "7", None])
        [2, None, 1, None]
        """
        if len(known) >= MANY and len(self._numbers) and set(map(type, known)) == {int}:
            with suppress(OverflowError):  # one of them is large
                return self._of_numbers(np.array(known, np.int64))
        return list(map(self.of, known))

    def ids(self) -> list[UserId | ItemId]:
        """Return the ids by row, rebuilt each time.

        >>> Rows([7, "7", -2, 2**70]).ids() == [7, "7", -2, 2**70]
        True
        """
        by_row = dict(zip(self._number_rows.tolist(), self._numbers.tolist(), strict=True))
        by_row |= {row: known for known, row in self._large.items()}
        texts = zip(self._ends[:-1].tolist(), self._ends[1:].tolist(), strict=True)
        for row, (start, end) in zip(self._text_rows.tolist(), texts, strict=True):
            by_row[row] = _decoded(self._bytes[start:end])
        return [by_row[row] for row in range(len(by_row))]

    def _of_number(self, known: int) -> int | None:
        if not LEAST_INTEGER <= known <= MOST_INTEGER:
            return self._large.get(known)
        place = bisect_left(self._sorted_numbers, known)
        if place < len(self._numbers) and self._sorted_numbers[place] == known:
            return self._number_rows.item(place)
        return None

    def _of_numbers(self, known: npt.NDArray[np.int64]) -> list[int | None]:
        places = np.searchsorted(self._numbers[:-1], known)  # at most the last place
        rows: list[int | None] = self._number_rows[places].tolist()
        for missing in np.flatnonzero(self._numbers[places] != known).tolist():
            rows[missing] = None
        return rows

    def _of_text(self, known: str) -> int | None:
        wanted = _encoded(known)
        key = _hash(wanted)
        place = bisect_left(self._sorted_hashes, key)
        while place < len(self._hashes) and self._sorted_hashes[place] == key:
            text = self._places.item(place)
            start, end = self._ends.item(text), self._ends.item(text + 1)
            if self._bytes[start:end] == wanted:
                return self._text_rows.item(text)
            place += 1  # another text of the same hash
        return None


def _sorted(
    keys: Sequence[int | str], values: Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return `keys` in order, and `values` in the order of their keys."""
    unordered = _array(keys, np.int64)
    order = np.argsort(unordered, kind="stable")
    return unordered[order], _array(values, np.int32)[order]


def _array(numbers: Sequence[int | str], dtype: type[Number]) -> npt.NDArray[Number]:
    if not numbers:
        return np.empty(0, dtype)
    return np.concatenate([np.array(piece, dtype) for piece in pieces(numbers)])


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(encoded: bytes) -> str:
    return encoded.decode("utf-8", "surrogatepass")


def _hash(encoded: bytes) -> int:
    key: int = mmh3.hash64(encoded)[0]
    return key
