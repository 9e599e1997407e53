"""Erasing forgotten users from the rows of a segment: who did what, and with what value.

Pure. Which events a `forget` removes: `training.data.forgetting`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.log.rows import FORGOTTEN, MET, SCHEMA

_OF_THE_USER: Final = ("user_int", "user_text", "event", "value")
_OF_THE_ITEM: Final = ("item_int", "item_text")


def erase_users(table: pa.Table, offsets: NDArray[np.int64], met: NDArray[np.int64]) -> pa.Table:
    """Return the rows without who did what in those at `offsets`, which stay as forgotten.

    What an item's title is stays, too: it tells nothing of the user. The `forget` events at the
    offsets `met` are marked as having met their user.
    """
    gone = pa.array(np.isin(table["offset"].to_numpy(), offsets))
    marked = pa.array(np.isin(table["offset"].to_numpy(), met))
    untitled = pc.and_(gone, pc.is_null(table["title"]))
    wiped = {name: pc.if_else(gone, None, table[name]) for name in _OF_THE_USER}
    wiped["value"] = pc.if_else(marked, MET, wiped["value"])
    wiped |= {name: pc.if_else(untitled, None, table[name]) for name in _OF_THE_ITEM}
    wiped["unusable"] = pc.if_else(gone, FORGOTTEN, table["unusable"])
    for name, column in wiped.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, SCHEMA.field(name), column)
    return table
