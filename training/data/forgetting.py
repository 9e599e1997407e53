"""Forgetting: what each `forget` event removes.

Pure: knows rows and the roll of users; must not know what the events are used for.

A `forget` removes what its user did before it: every event with an earlier timestamp, and every
event before it in its partition. So neither a producer with a wrong clock nor an old file that is
ingested again brings back what was forgotten.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.latest_rows import Offsets
from registry.wire.training_records.event_weights import FORGET
from training.data.distinct_ids import Roll
from training.data.matrix import Floats, Mask, Rows


def time_of(table: pa.Table) -> Floats:
    """Return (rows,): the time of each event in seconds since the epoch, or else of its record."""
    time: Floats = pc.coalesce(table["timestamp"], table["at"]).to_numpy()
    return time


class Forgets:
    """The `forget` events, and what each removes."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, pa.Table]] = []
        self._until: Floats | None = None
        self._before: dict[int, Offsets] = {}

    def note(self, partition: int, table: pa.Table) -> None:
        """Remember the table's `forget` events."""
        rows = table.filter(pc.equal(table["event"], FORGET))
        if len(rows):
            self._rows.append((partition, rows))

    def settle(self, users: Roll) -> None:
        """Find out until when, and in each partition before which offset, a user is forgotten."""
        for partition, rows in self._rows:
            if self._until is None:
                self._until = np.full(len(users), -np.inf)
            user = users.rows(rows["user_int"], rows["user_text"])
            before = self._before.setdefault(partition, np.full(len(users), -1))
            np.maximum.at(self._until, user, time_of(rows))
            np.maximum.at(before, user, rows["offset"].to_numpy())
        self._rows.clear()

    def until(self, users: Roll) -> dict[int | str, float]:
        """Return the time of the latest `forget` of each user who sent one, after settling."""
        if self._until is None:
            return {}
        rows = np.flatnonzero(self._until > -np.inf).tolist()
        return {users.id_at(row): float(self._until[row]) for row in rows}

    def take_back(self, partition: int, user: Rows, offset: Offsets, time: Floats) -> Mask:
        """Return (events,): which ones are forgotten."""
        if self._until is None:
            return np.zeros(len(user), np.bool_)
        gone: Mask = time < self._until[user]
        if partition in self._before:
            gone |= offset < self._before[partition][user]
        return gone
