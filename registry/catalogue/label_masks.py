"""Label masks: which item rows a filter of labels leaves, and which of its labels no item has.

Pure NumPy. Must not know requests, scores or versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from registry.catalogue.item_labels import ItemLabels

Filter: TypeAlias = Mapping[str, Sequence[str]]

MOST_KEPT: Final = 32
"""Masks of values that a version keeps, one byte an item each."""


class LabelMasks:
    """The labels of one version's items. Any number of threads may use it.

    Parameters
    ----------
    labels
        None: no item has any.
    items
        How many rows there are.

    Examples
    --------
    >>> from registry.catalogue.item_labels import labelled
    >>> masks = LabelMasks(labelled([{"genre": ["Drama", "War"]}, {"genre": ["Drama"]}, {}]), 3)
    >>> masks.shown({"genre": ["Drama"]}, {"genre": ["War"]})
    array([False,  True, False])
    >>> masks.unknown([{"genre": ["Noir"], "mood": ["dark"]}])
    ['mood']
    """

    def __init__(self, labels: ItemLabels | None, items: int) -> None:
        self._labels = labels
        self._items = items
        self.names: Final = sorted({label for label, _ in labels.table} if labels else ())
        self._kept: dict[tuple[str, tuple[str, ...]], npt.NDArray[np.bool_]] = {}
        self._keeping = Lock()

    def unknown(self, filters: Iterable[Filter | None]) -> list[str]:
        """Return the labels, sorted, that no item has. A value that none has is not unknown."""
        named = {label for wanted in filters if wanted for label in wanted}
        return sorted(named.difference(self.names))

    def shown(self, allow: Filter | None, exclude: Filter | None) -> npt.NDArray[np.bool_]:
        """Return (items,): it has one of the values of each label to allow, none to exclude."""
        shown = np.ones(self._items, np.bool_)
        for label, values in (allow or {}).items():
            shown &= self._rows_with(label, values)
        for label, values in (exclude or {}).items():
            shown &= ~self._rows_with(label, values)
        return shown

    def _rows_with(self, label: str, values: Sequence[str]) -> npt.NDArray[np.bool_]:
        if self._labels is None:
            return np.zeros(self._items, np.bool_)
        key = (label, tuple(sorted(set(values))))
        found = self._kept.get(key)
        if found is None:
            found = self._labels.rows_with(label, values)
            with self._keeping:
                if len(self._kept) >= MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[key] = found
        return found
