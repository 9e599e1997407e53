"""The field `because` of an answer: which of the user's own items add most to each item's score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from registry.answers.item_texts import ItemTexts
from registry.scoring.candidate_ranking import first_of
from registry.scoring.kernels import ItemRows
from registry.wire.responses import Because, Item

SHOWN_BECAUSE: Final = 3
"""Most of a user's own items that an explanation names."""


def add_because(
    items: Sequence[Item],
    texts: ItemTexts,
    own: ItemRows,
    contributions: npt.NDArray[np.float64],
) -> list[Item]:
    """Return `items` with what each comes from: those of a user's own that add most to it.

    Parameters
    ----------
    items
        Of a version.
    texts
        The ids and titles of that version's items.
    own
        Rows of the user's items.
    contributions
        (own, items): how much each adds to each score.
    """
    ids, titles = texts.item_ids, texts.titles
    most = [first_of(own, column, SHOWN_BECAUSE) for column in contributions.T]
    return [
        replace(
            item,
            because=[
                Because(ids[row], share, titles[row])
                for row, share in zip(*ranked, strict=True)
                if share > 0
            ],
        )
        for item, ranked in zip(items, most, strict=True)
    ]
