"""A recommendation: the rows of its items, best first, and what ranked them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from registry.answers.item_texts import ItemTexts
from registry.wire.responses import Item, Source


class Recommendation(NamedTuple):
    """The items for one request.

    Parameters
    ----------
    rows, scores
        Of the items, best first.
    source
        What ranked them.
    texts
        The version's.
    whole_items
        Instead of rows and scores, where items hold more than that: what they come from, or new
        items that the version does not know.
    """

    rows: Sequence[int]
    scores: Sequence[float]
    source: Source
    texts: ItemTexts
    whole_items: list[Item] | None = None

    @property
    def items(self) -> list[Item]:
        """The items as values, made each time."""
        if self.whole_items is not None:
            return self.whole_items
        return self.texts.items(self.rows, self.scores)

    @property
    def is_empty(self) -> bool:
        """Whether it has no items."""
        return not (self.rows if self.whole_items is None else self.whole_items)
