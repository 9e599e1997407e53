"""The tally: what the data report counts, while the rows are read.

Pure: knows columns of events and rows of users and items; must not know what is unusual.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from registry.latest_rows import Offsets
from registry.undo_events import Repeats
from registry.wire.training_records.data_report import DataReport, Dropped, Heavy, ValueQuantiles
from training.data.distinct_ids import Roll
from training.data.matrix import Cells, Mask, Rows

OWN_TIME_SECONDS: Final = 60.0
"""An event that is older than its record by more than this has a time of its own. Less is what an
application takes to send it, or what a script stamps that reads a file."""

INGESTION_SECONDS: Final = 3_600.0
"""Times without any of their own that all lie within this are those of one ingestion: even 100
records a second bring 360,000 in."""

HEAVIEST: Final = 5
MOST_NAMES: Final = 1_000
"""Kinds that are counted by name; a producer that makes names up must not fill the memory."""

OTHERS: Final = "(others)"
SAMPLED_VALUES: Final = 1_000_000
"""Values that quantiles are taken of, evenly spaced, if there are more."""

BINS: Final = (1, 2, 5, 10, 20, 50, 100, 1_000, 10_000)


class ReportTally:
    """What is counted while events are gathered."""

    def __init__(self, items: int) -> None:
        self._events: Counter[str] = Counter()
        self._dropped: dict[str, Dropped] = {}
        self._per_item = np.zeros(items, np.int64)
        self._untimed = self._own_times = 0
        self._oldest, self._newest = np.inf, -np.inf
        self._repeats = Counter[str]()

    def count_kinds(self, events: pa.ChunkedArray) -> None:
        """Count the events of each kind."""
        for found in pc.value_counts(events).to_pylist():
            name = found["values"]
            if name not in self._events and len(self._events) >= MOST_NAMES:
                name = OTHERS
            self._events[name] += found["counts"]

    def count_dropped(self, reason: str, partition: int, offsets: Offsets) -> None:
        """Count records that teach nothing."""
        if not len(offsets):
            return
        before = self._dropped.get(reason)
        self._dropped[reason] = (
            Dropped(before.records + len(offsets), before.partition, before.offset)
            if before
            else Dropped(len(offsets), partition, int(offsets[0]))
        )

    def count_kept(self, table: pa.Table, kept: NDArray[np.integer], item: Rows) -> None:
        """Count the events that have a weight, and examine their times."""
        np.add.at(self._per_item, item, 1)
        chosen = table.select(["timestamp", "at"]).take(pa.array(kept))
        own, at = chosen["timestamp"], chosen["at"]
        self._untimed += own.null_count
        late = pc.greater(pc.subtract(at, own), OWN_TIME_SECONDS)
        self._own_times += pc.sum(late).as_py() or 0
        time = pc.coalesce(own, at).to_numpy()
        self._oldest = time.min(initial=self._oldest)
        self._newest = time.max(initial=self._newest)

    def count_repeats(self, repeats: Repeats) -> None:
        """Count the events of some users that do not count, and what took them back."""
        self._repeats.update(repeats._asdict())

    def report(self, cells: Cells, per_user: Offsets, users: Roll, items: Roll) -> DataReport:
        """Return what was counted.

        Parameters
        ----------
        cells
            What became of the events.
        per_user
            (users,) events that count.
        users, items
            Whose rows are whose.
        """
        any_kept = bool(len(cells.time))
        span = self._newest - self._oldest if any_kept else 0.0
        return DataReport(
            events=dict(self._events.most_common()),
            values={kind: _quantiles(column) for kind, column in cells.values.items()},
            untimed=self._untimed,
            own_times=self._own_times,
            oldest=float(self._oldest) if any_kept else None,
            newest=float(self._newest) if any_kept else None,
            users=_binned(per_user),
            items=_binned(self._per_item),
            heaviest_users=_heaviest(per_user, users),
            heaviest_items=_heaviest(self._per_item, items),
            pairs=len(cells.item),
            repeated=self._repeats["repeated"],
            duplicates=self._repeats["duplicates"],
            undos=self._repeats["undos"],
            undone=self._repeats["undone"],
            found_nothing=self._repeats["found_nothing"],
            dropped=dict(sorted(self._dropped.items(), key=lambda entry: -entry[1].records)),
            times_tell=bool(self._own_times or span > INGESTION_SECONDS),
        )


def _quantiles(column: NDArray[np.float32]) -> ValueQuantiles:
    there: Mask = ~np.isnan(column)
    values = column[there]
    step = -(-len(values) // SAMPLED_VALUES)
    median, p90, p99 = np.quantile(values[::step], (0.5, 0.9, 0.99), method="lower").tolist()
    return ValueQuantiles(len(values), float(values.min()), median, p90, p99, float(values.max()))


def _binned(counts: Offsets) -> dict[str, int]:
    """Return how many counts lie in each bin; empty bins are left out.

    >>> _binned(np.array([0, 1, 1, 3, 70_000]))
    {'1': 2, '2-4': 1, '10,000+': 1}
    """
    many = np.bincount(np.searchsorted(BINS, counts, side="right"), minlength=len(BINS) + 1)[1:]
    names = [
        f"{low:,}" if high == low + 1 else f"{low:,}-{high - 1:,}" for low, high in pairwise(BINS)
    ]
    names.append(f"{BINS[-1]:,}+")
    return {name: int(count) for name, count in zip(names, many, strict=True) if count}


def _heaviest(counts: Offsets, roll: Roll) -> tuple[Heavy, ...]:
    most = min(HEAVIEST, len(counts))
    if not most:
        return ()
    rows = np.argpartition(-counts, most - 1)[:most]
    rows = rows[np.lexsort((rows, -counts[rows]))]
    return tuple(Heavy(roll.id_at(int(row)), int(counts[row])) for row in rows if counts[row])
