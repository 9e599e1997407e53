"""`forget` events without effect, because their user exists only with the other JSON type.

Pure: knows rows and the roll of users. A `forget` of the integer 42 removes nothing of the string
"42". That must not go unnoticed: somebody asked to be forgotten, and is not. If both ids are
forgotten, there is no problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from registry.ids import twin_of
from training.data.distinct_ids import Roll

FORGET_OF_OTHER_TYPE: Final = "forget_of_other_type"
"""Why a `forget` has no effect."""


def mistyped_forgets(
    forgets: Sequence[tuple[int, pa.Table]], users: Roll
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield, by table, the offsets of the `forget` events that mean the other type.

    Parameters
    ----------
    forgets
        (partition, rows) with ``offset``, ``user_int`` and ``user_text``.
    users
        All users that the rows name.
    """
    forgotten = {user for _, rows in forgets for user in _users(rows)}
    for partition, rows in forgets:
        mistyped = [_is_elsewhere(user, forgotten, users) for user in _users(rows)]
        if any(mistyped):
            yield partition, rows["offset"].to_numpy()[np.array(mistyped)]


def _users(rows: pa.Table) -> list[int | str]:
    columns = zip(rows["user_int"].to_pylist(), rows["user_text"].to_pylist(), strict=True)
    return [text if number is None else number for number, text in columns]


def _is_elsewhere(user: int | str, forgotten: set[int | str], users: Roll) -> bool:
    twin = twin_of(user)
    return twin is not None and twin not in forgotten and users.has(twin)
