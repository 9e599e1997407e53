"""`forget` events that met no user: nobody has that id, or only a user with the other JSON type.

Pure: knows rows of events and the roll of users. A `forget` of the integer 42 removes nothing of
the string "42". That must not go unnoticed: somebody asked to be forgotten, and is not.

What a `forget` took back is erased from the rows. So its own row remembers that it met its user:
its ``value`` is `OPEN` until then, and `MET` from then on. Rows of earlier releases have neither:
what they met is not known, and they are not reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.ids import twin_of
from registry.latest_rows import Offsets
from registry.wire.training_records.event_weights import FORGET
from training.data.distinct_ids import Roll
from training.data.matrix import Mask, Rows
from training.log.rows import OPEN

FORGET_OF_OTHER_TYPE: Final = "forget_of_other_type"
"""Why a `forget` takes nothing back: its user is there with the other JSON type. If both ids are
forgotten, there is no problem."""

FORGET_OF_NOBODY: Final = "forget_of_nobody"
"""Why a `forget` takes nothing back: no other record names its user with either type, and none that
was erased did."""


class _Found(NamedTuple):
    """The `forget` events of one table."""

    partition: int
    offset: Offsets
    user: Rows
    open: Mask


class MetUsers:
    """Which `forget` events met their user.

    Parameters
    ----------
    users
        All users that a row names.
    """

    def __init__(self, users: Roll) -> None:
        self._users = users
        self._has_lost = np.zeros(len(users), np.bool_)
        self._tables: list[_Found] = []

    def add(self, partition: int, table: pa.Table, user: Rows, gone: Mask) -> None:
        """Note the `forget` events of a table.

        Parameters
        ----------
        partition, table
            Rows with ``offset``, ``event`` and ``value``.
        user
            (events,) the row of each one's user.
        gone
            (events,) which ones are forgotten.
        """
        self._has_lost[user[gone]] = True
        forgets = pc.fill_null(pc.equal(table["event"], FORGET), False).to_numpy()
        still_open = pc.fill_null(pc.equal(table["value"], OPEN), False).to_numpy()
        offset = table["offset"].to_numpy()
        self._tables.append(
            _Found(partition, offset[forgets].copy(), user[forgets], still_open[forgets])
        )

    def newly_met(self) -> list[Offsets]:
        """Return, of each table, the offsets of open `forget` events whose user has lost events."""
        return [found.offset[found.open & self._has_lost[found.user]] for found in self._tables]

    def without_user(self) -> Iterator[tuple[str, int, Offsets]]:
        """Yield reason, partition and offsets of the `forget` events that met no user."""
        open_forgets = np.zeros(len(self._users), np.int64)
        for found in self._tables:
            np.add.at(open_forgets, found.user[found.open], 1)
        known: Mask = self._users.named > open_forgets
        forgotten = {int(user) for found in self._tables for user in found.user}
        reason_by_user = {user: self._reason(user, known, forgotten) for user in forgotten}
        for found in self._tables:
            reasons = np.array([reason_by_user[int(user)] for user in found.user], object)
            for reason in (FORGET_OF_OTHER_TYPE, FORGET_OF_NOBODY):
                if (reasons == reason).any():
                    yield reason, found.partition, found.offset[reasons == reason]

    def _reason(self, user: int, known: Mask, forgotten: set[int]) -> str | None:
        twin = twin_of(self._users.id_at(user))
        there = None if twin is None else self._users.row_of(twin)
        if there is not None and there not in forgotten:
            return FORGET_OF_OTHER_TYPE
        met = known[user] or (there is not None and known[there])
        return None if met else FORGET_OF_NOBODY
