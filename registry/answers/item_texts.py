"""Items as answers show them: values, and the JSON around a score, written once per version.

An item's id and title never change within a version, and few of a large catalogue's items are in
any answer. So their JSON is made when an item is first shown, and kept. Pure but for that memory,
which any number of threads may use at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import msgspec

from registry.ids import ItemId
from registry.wire.responses import Item

MOST_KEPT: Final = 30_000
"""Items whose JSON is kept, of those that are shown first: 9 MB, 290 bytes an item. Others are
written each time, which takes 1 µs an item."""

_encode: Final = msgspec.json.Encoder().encode


class ItemTexts:
    """The items of one version.

    Parameters
    ----------
    item_ids, titles
        By row; a title is None where there is none.
    most_kept
        Items whose JSON is kept.
    """

    def __init__(
        self,
        item_ids: list[ItemId],
        titles: list[str | None],
        most_kept: int = MOST_KEPT,
    ) -> None:
        self.item_ids = item_ids
        self.titles = titles
        self._before = _Before(item_ids, most_kept)
        self._after = _After(titles, most_kept)

    def items(self, rows: Sequence[int], scores: Sequence[float]) -> list[Item]:
        """Return items with their scores."""
        ids = map(self.item_ids.__getitem__, rows)
        return list(map(Item, ids, scores, map(self.titles.__getitem__, rows)))

    def write(
        self, rows: Sequence[Sequence[int]], scores: Sequence[Sequence[float]]
    ) -> list[bytes]:
        """Return, for each list of items, what `msgspec` writes of them, without the brackets.

        >>> ItemTexts([7, "b"], ["Up", None]).write([[1, 0], []], [[0.5, 0.25], []])
        [b'{"item_id":"b","score":0.5},{"item_id":7,"score":0.25,"title":"Up"}', b'']
        """
        sizes = list(map(len, rows))
        every = list(chain.from_iterable(rows))
        parts = [b""] * (3 * len(every))
        parts[0::3] = map(self._before.__getitem__, every)
        if every:
            parts[1::3] = _encode(list(chain.from_iterable(scores)))[1:-1].split(b",")
        parts[2::3] = map(self._after.__getitem__, every)
        join = b"".join
        written, start = [], 0
        for size in sizes:
            end = start + 3 * size
            written.append(join(parts[start:end])[1:])
            start = end
        return written


class _Before(dict[int, bytes]):
    """What stands before the score of the item of a row, with the comma after the last item."""

    def __init__(self, item_ids: Sequence[ItemId], most_kept: int) -> None:
        super().__init__()
        self._item_ids = item_ids
        self._most_kept = most_kept

    def __missing__(self, row: int) -> bytes:
        text = b',{"item_id":%b,"score":' % _encode(self._item_ids[row])
        if len(self) < self._most_kept:
            self[row] = text
        return text


class _After(dict[int, bytes]):
    """What stands after it."""

    def __init__(self, titles: Sequence[str | None], most_kept: int) -> None:
        super().__init__()
        self._titles = titles
        self._most_kept = most_kept

    def __missing__(self, row: int) -> bytes:
        title = self._titles[row]
        text = b"}" if title is None else b',"title":%b}' % _encode(title)
        if len(self) < self._most_kept:
            self[row] = text
        return text
