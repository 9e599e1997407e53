"""Labels of a version's items, by row: a table of label and value, and which of it each item has.

Pure NumPy. Must not know files, nor what a label means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Label: TypeAlias = tuple[str, str]
"""A label and one of its values, such as ``("genre", "Drama")``."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemLabels:
    """Which labels each item row has, as CSR.

    Parameters
    ----------
    table
        All labels with their values, sorted, each once.
    indptr, ids
        int64 (items + 1,) and int32: item row r has ``table[ids[indptr[r]:indptr[r + 1]]]``,
        ascending.
    """

    table: list[Label]
    indptr: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]

    def of(self, row: int) -> dict[str, list[str]]:
        """Return the labels of one item row.

        >>> labelled([{"genre": ["Drama", "Crime"]}, {}]).of(0)
        {'genre': ['Crime', 'Drama']}
        """
        found: dict[str, list[str]] = {}
        for number in self.ids[self.indptr[row] : self.indptr[row + 1]].tolist():
            label, value = self.table[number]
            found.setdefault(label, []).append(value)
        return found

    def rows_with(self, label: str, values: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Return which item rows have one of these values of a label, bool (items,).

        >>> labelled([{"genre": ["Drama"]}, {"genre": ["Crime"]}]).rows_with("genre", ["Crime"])
        array([False,  True])
        """
        wanted = {(label, value) for value in values}
        chosen = np.array([known in wanted for known in self.table], np.bool_)
        before = np.concatenate(([0], np.cumsum(chosen[self.ids]))) if len(self.ids) else [0]
        held = np.asarray(before)[self.indptr]
        return np.asarray(held[1:] > held[:-1])

    def complaint(self, items: int) -> str | None:
        """Return what is wrong with the arrays of a version of so many items; None if nothing."""
        indptr, ids = self.indptr, self.ids
        if (indptr.dtype, indptr.shape) != (np.dtype(np.int64), (items + 1,)):
            return f"label_indptr: {indptr.dtype} {indptr.shape}, int64 ({items + 1},) is needed"
        if (ids.dtype, ids.ndim) != (np.dtype(np.int32), 1):
            return f"label_ids: {ids.dtype} of {ids.ndim} dimensions, int32 of one is needed"
        if indptr[0] != 0 or indptr[-1] != len(ids) or (np.diff(indptr) < 0).any():
            return f"label_indptr: must rise from 0 to {len(ids)}, the length of label_ids"
        if len(ids) and (ids.min() < 0 or ids.max() >= len(self.table)):
            return f"label_ids: names labels outside of 0..{len(self.table) - 1}"
        return None


def labelled(items: Sequence[Mapping[str, Iterable[str]]]) -> ItemLabels:
    """Return the labels of items, by row; a value that is named twice counts once."""
    by_row = [
        {(label, value) for label, values in labels.items() for value in values} for labels in items
    ]
    table = sorted(set().union(*by_row))
    numbers = {label: number for number, label in enumerate(table)}
    ids = [sorted(numbers[label] for label in labels) for labels in by_row]
    return ItemLabels(
        table,
        np.cumsum([0, *map(len, ids)], dtype=np.int64),
        np.array([number for row in ids for number in row], np.int32),
    )
