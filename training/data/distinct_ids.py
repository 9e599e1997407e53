"""Every id once, sorted: its row in the matrix, and how many records name it.

Pure: knows columns of ids; must not know events. Integers come before strings: 5 and "5" are
different ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from registry.errors import ShapeError
from training.data.matrix import Mask, Rows

MOST_IDS: Final = 2**30
"""Most users, and most items: more would overflow the sorting key of user, item and kind."""

LEAST_DENSE: Final = 4
"""Integer ids of which every so many-th is used are looked up in a table, of 16 bytes an id at
most: three times as fast as the search that all others need."""

NEW_AT_ONCE: Final = 65_536
"""New counts that are kept apart before they are added up with all others, if those are fewer."""

Counts: TypeAlias = NDArray[np.int64]


class Roll:
    """Ids, each once, sorted; an id's place is its row.

    Parameters
    ----------
    numbers, texts
        Integers, ascending; then texts, ascending.
    named
        (ids,) how many rows name each.
    """

    def __init__(self, numbers: NDArray[np.int64], texts: Sequence[str], named: Counts) -> None:
        if len(named) > MOST_IDS:
            raise ShapeError(f"{len(named)} users or items: at most {MOST_IDS}")
        self.named = named
        self._numbers, self._texts = numbers, texts
        self._row_by_text = {text: row for row, text in enumerate(texts, len(numbers))}
        self._row_by_number = _looked_up(numbers)

    def __len__(self) -> int:
        return len(self.named)

    def row_of(self, user: int | str) -> int | None:
        """Return the row of an id; None if no row names it."""
        if isinstance(user, str):
            return self._row_by_text.get(user)
        place = int(np.searchsorted(self._numbers, user)) if abs(user) < 2**63 else 0
        found = place < len(self._numbers) and int(self._numbers[place]) == user
        return place if found else None

    def rows(self, numbers: pa.ChunkedArray, texts: pa.ChunkedArray) -> Rows:
        """Return the rows of two columns, of which one has the id; -1 where neither has."""
        rows = self._rows_of_numbers(numbers.drop_null().to_numpy())
        if numbers.null_count:
            given, rows = rows, np.full(len(numbers), -1, np.int32)
            rows[pc.is_valid(numbers).to_numpy()] = given
        if texts.null_count < len(texts):
            coded = texts.combine_chunks().dictionary_encode()
            named = [self._row_by_text[text] for text in coded.dictionary.to_pylist()]
            code = pc.fill_null(coded.indices, -1).to_numpy()
            np.copyto(rows, np.array([*named, -1], np.int32)[code], where=code >= 0)
        return rows

    def _rows_of_numbers(self, numbers: NDArray[np.int64]) -> Rows:
        if self._row_by_number is None:
            return np.searchsorted(self._numbers, numbers).astype(np.int32)
        rows: Rows = self._row_by_number[numbers - self._numbers[0]]
        return rows

    def id_at(self, row: int) -> int | str:
        """Return the id of one row."""
        numbers = len(self._numbers)
        return int(self._numbers[row]) if row < numbers else self._texts[row - numbers]

    def ids(self, chosen: Mask) -> tuple[Any, ...]:
        """Return the chosen ids."""
        numbers, texts = np.split(chosen, [len(self._numbers)])
        return (
            *self._numbers[numbers].tolist(),
            *(self._texts[place] for place in np.flatnonzero(texts).tolist()),
        )


def _looked_up(numbers: NDArray[np.int64]) -> Rows | None:
    """Return the row of each number from the least on; None if they are too far apart for that."""
    if not len(numbers) or int(numbers[-1]) - int(numbers[0]) >= LEAST_DENSE * len(numbers):
        return None
    rows = np.zeros(numbers[-1] - numbers[0] + 1, np.int32)
    rows[numbers - numbers[0]] = np.arange(len(numbers))
    return rows


class Census:
    """How many rows name each id, counted as they come."""

    def __init__(self) -> None:
        self._numbers, self._named = np.empty(0, np.int64), np.empty(0, np.int64)
        self._new: list[tuple[Counts, Counts]] = []
        self._texts: Counter[str] = Counter()

    def add(self, numbers: pa.ChunkedArray, texts: pa.ChunkedArray) -> None:
        """Count the ids of two columns, of which one has the id, or neither."""
        counted = pc.value_counts(numbers.drop_null().combine_chunks())
        self._new.append((counted.field("values").to_numpy(), counted.field("counts").to_numpy()))
        if sum(len(ids) for ids, _ in self._new) > max(len(self._numbers), NEW_AT_ONCE):
            self._merge()
        for found in pc.value_counts(texts.drop_null()).to_pylist():
            self._texts[found["values"]] += found["counts"]

    def roll(self) -> Roll:
        """Return the ids of all rows."""
        self._merge()
        texts = sorted(self._texts)
        named = np.array([self._texts[text] for text in texts], np.int64)
        return Roll(self._numbers, texts, np.concatenate([self._named, named]))

    def _merge(self) -> None:
        ids = np.concatenate([self._numbers, *(ids for ids, _ in self._new)])
        named = np.concatenate([self._named, *(named for _, named in self._new)])
        self._numbers, place = np.unique(ids, return_inverse=True)
        self._named = np.bincount(place, named, len(self._numbers)).astype(np.int64)
        self._new.clear()
