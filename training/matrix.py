"""From events to the training matrix: who did what with which item, and how much it counts.

Pure: knows columns of events, ids and weights; must not know Kafka, files, `implicit` or the
evaluation.

A *cell* is one (user, item) pair. Of each kind of event, a cell keeps the latest one (by timestamp,
then partition and offset), so a producer that sends a record twice, or a user who rates an item
again, never counts double. Ids are sorted, integers before strings; so the same set of events gives
the same bytes whatever order the partitions arrived in.

A `forget` takes back what its user did before it: every event with an earlier timestamp, and every
event that stands before it in its partition. So neither a producer with a wrong clock nor an old
file that is ingested again brings back what was forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from registry.errors import ShapeError
from registry.ids import ItemId, UserId
from registry.manifest import Parameters
from training.segments import FORGOTTEN

KINDS: Final = ("watch", "click", "rate")
"""Columns of :attr:`Cells.values`."""

FORGET: Final = len(KINDS)
"""The kind of a `forget`; never a column of the values."""

DAY_SECONDS: Final = 86_400.0

MOST_IDS: Final = 2**30
"""Most users, and most items: more would overflow the sorting key of user, item and kind."""

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.int32]
Part = TypeVar("Part")


class Csr(NamedTuple):
    """A sparse matrix by rows: row r has `indices[indptr[r]:indptr[r + 1]]`.

    Parameters
    ----------
    indptr
        (rows + 1,) int64.
    indices
        (entries,) int32, ascending within a row.
    values
        (entries,) float32.
    shape
        Rows (users) and columns (items).
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    shape: tuple[int, int]


class Factors(NamedTuple):
    """What a fit makes of such a matrix: float32, (users, factors) and (items, factors)."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Every (user, item) pair that an event named, in order of user row, then item row.

    Parameters
    ----------
    user_ids, item_ids
        Sorted ids; an id's place is its row.
    titles
        The latest title of each item, by row; None where no event told one.
    user, item
        (cells,) int32 rows.
    time
        (cells,) seconds since the epoch of the cell's latest event.
    values
        (cells, 3) float32: value of the latest event of each of `KINDS`, NaN where there is none.
    newest
        Seconds since the epoch of the snapshot's latest event, from which ages are counted; 0 if
        there is none.
    """

    user_ids: tuple[UserId, ...]
    item_ids: tuple[ItemId, ...]
    titles: tuple[str | None, ...]
    user: Rows
    item: Rows
    time: Floats
    values: NDArray[np.float32]
    newest: float

    @property
    def shape(self) -> tuple[int, int]:
        """Users and items."""
        return len(self.user_ids), len(self.item_ids)


def weights(cells: Cells, parameters: Parameters) -> NDArray[np.float32]:
    r"""Return how much each cell counts, by its events and its age.

    .. math::
        w = \mathrm{weigh} \cdot 2^{-a / h} \cdot [a \le d], \quad
        a = (t_{newest} - t_{cell}) / 86400

    with half-life h (``half_life_days``) and window d (``window_days``); a factor whose setting is
    0 is left out. The age is counted from the snapshot's newest event, not from the clock: the same
    ranges give the same weights at any time. A cell outside of the window weighs 0, so it teaches
    nothing, but counts as seen.

    Parameters
    ----------
    cells
        The cells.
    parameters
        Those of :func:`weigh`, ``half_life_days`` and ``window_days``.

    Returns
    -------
    (cells,) float32, at least 0; empty for no cells.
    """
    weight = weigh(cells.values, parameters)
    age_days = (cells.newest - cells.time) / DAY_SECONDS
    if parameters.half_life_days:
        weight *= np.exp2(-age_days / parameters.half_life_days).astype(np.float32)
    if parameters.window_days:
        weight[age_days > parameters.window_days] = 0
    return weight


def weigh(values: NDArray[np.float32], parameters: Parameters) -> NDArray[np.float32]:
    """Return how much the events of each cell count: the one mapping of events to weights.

    ``weight = max(0, weight_watch × watch + weight_click × click + (rating - rating_floor))``
    over the events that there are. A cell of weight 0 teaches nothing, but counts as seen; a
    rating below the floor speaks against a watch. The fit's confidence is ``alpha × weight``.

    Parameters
    ----------
    values
        (cells, 3), columns as in `KINDS`, NaN where there is no event.
    parameters
        Its ``weight_watch``, ``weight_click`` and ``rating_floor`` are read.

    Returns
    -------
    (cells,) float32, at least 0; empty for no cells.

    Examples
    --------
    >>> told = Parameters(8, 1, 0.1, 1.0, 42, weight_watch=1, weight_click=0.5, rating_floor=2)
    >>> weigh(np.array([[1, np.nan, np.nan], [np.nan, 1, 5], [1, np.nan, 0.5]]), told).tolist()
    [1.0, 3.5, 0.0]
    """
    scales = (parameters.weight_watch, parameters.weight_click, 1.0)
    floors = (0.0, 0.0, parameters.rating_floor)
    total = np.zeros(len(values), np.float32)
    for told, scale, floor in zip(values.T, scales, floors, strict=True):
        total += np.where(np.isnan(told), 0, scale * told - floor).astype(np.float32)
    return np.maximum(total, 0)


def trim(cells: Cells, parameters: Parameters) -> Cells:
    """Return the cells of the users and items with enough of them that teach.

    A user needs ``min_user_interactions`` items that teach (weight above 0), an item
    ``min_item_interactions`` users. What is left out takes its cells along, which may bring others
    below their minimum; so this is repeated until nothing changes. The result is the largest set in
    which everybody has enough (the bipartite k-core), and is the same whatever is looked at first;
    one pass would leave users and items behind that break the promise.

    Parameters
    ----------
    cells
        The cells.
    parameters
        The two minimums, and those of :func:`weights`. Minimums of 0 leave everything in.
    """
    least = (parameters.min_user_interactions, parameters.min_item_interactions)
    if not any(least):
        return cells
    teaches = weights(cells, parameters) > 0
    users, items = (np.ones(rows, np.bool_) for rows in cells.shape)
    while True:
        counted = teaches & users[cells.user] & items[cells.item]
        enough = (
            np.bincount(cells.user[counted], minlength=len(users)) >= least[0],
            np.bincount(cells.item[counted], minlength=len(items)) >= least[1],
        )
        if (enough[0] >= users).all() and (enough[1] >= items).all():
            return _only(cells, users, items)
        users, items = users & enough[0], items & enough[1]


def _only(cells: Cells, users: Mask, items: Mask) -> Cells:
    kept = users[cells.user] & items[cells.item]
    users = np.bincount(cells.user[kept], minlength=len(users)) > 0  # who has lost all cells
    items = np.bincount(cells.item[kept], minlength=len(items)) > 0
    user_row, item_row = (np.cumsum(one, dtype=np.int32) - 1 for one in (users, items))
    return replace(
        cells,
        user_ids=_chosen(cells.user_ids, users),
        item_ids=_chosen(cells.item_ids, items),
        titles=_chosen(cells.titles, items),
        user=user_row[cells.user[kept]],
        item=item_row[cells.item[kept]],
        time=cells.time[kept],
        values=cells.values[kept],
    )


def _chosen(values: tuple[Any, ...], chosen: Mask) -> tuple[Any, ...]:
    return tuple(values[row] for row in np.flatnonzero(chosen))


def csr(cells: Cells, chosen: Mask, values: NDArray[np.float32] | None = None) -> Csr:
    """Return the `chosen` cells as a users × items matrix, with `values` or ones.

    Parameters
    ----------
    cells
        All cells.
    chosen
        (cells,) which of them.
    values
        (cells,) their values; None for ones.
    """
    per_user = np.bincount(cells.user[chosen], minlength=cells.shape[0])
    indptr = np.concatenate(([0], np.cumsum(per_user))).astype(np.int64)
    entries = int(indptr[-1])
    kept = np.ones(entries, np.float32) if values is None else values[chosen]
    return Csr(indptr, cells.item[chosen].astype(np.int32), kept, cells.shape)


def popularity(cells: Cells, chosen: Mask) -> Floats:
    """Return (items,): how many users have a `chosen` cell with each item."""
    return np.bincount(cells.item[chosen], minlength=cells.shape[1]).astype(np.float64)


class Gathered(NamedTuple):
    """What the tables held.

    Parameters
    ----------
    cells
        The cells.
    interactions
        How many events they come from.
    unusable
        Records that taught nothing, by reason; those of forgotten users among them.
    forgotten
        Of each table, in their order: offsets whose user was forgotten later.
    """

    cells: Cells
    interactions: int
    unusable: Counter[str]
    forgotten: list[NDArray[np.int64]]


def gather(tables: Iterable[tuple[int, pa.Table]]) -> Gathered:
    """Return the cells of all events.

    Parameters
    ----------
    tables
        (partition, rows of :data:`training.segments.SCHEMA`); by partition, then by offset.
    """
    log, titles, unusable = _Log(), _Titles(), Counter[str]()
    for partition, table in tables:
        for one in pc.value_counts(table["unusable"].drop_null()).to_pylist():
            unusable[one["values"]] += one["counts"]
        titles.take(table)
        log.add(partition, table.filter(pc.is_valid(table["event"])))
    kept, forgotten = log.settle()
    if taken_back := sum(map(len, forgotten)):
        unusable[FORGOTTEN] += taken_back
    return Gathered(log.cells(kept, titles), int(kept.sum()), unusable, forgotten)


class _Ids(NamedTuple):
    """One table's ids, each once; a column names them by their place, the numbers first."""

    numbers: NDArray[np.int64]
    texts: list[str]


class _Log:
    """All tables' events in columns, 29 bytes each; a column that is taken is gone from here."""

    def __init__(self) -> None:
        self._partition: list[int] = []
        self._user: list[tuple[_Ids, Rows]] = []
        self._item: list[tuple[_Ids, Rows]] = []
        self._kind: list[NDArray[np.int8]] = []
        self._value: list[NDArray[np.float32]] = []
        self._time: list[Floats] = []
        self._offset: list[NDArray[np.int64]] = []

    def add(self, partition: int, events: pa.Table) -> None:
        """Add one table's events."""
        kind = pc.index_in(events["event"], pa.array([*KINDS, "forget"]))
        time = pc.coalesce(events["timestamp"], events["at"])
        self._partition.append(partition)
        self._user.append(_coded(events["user_int"], events["user_text"]))
        self._item.append(_coded(events["item_int"], events["item_text"]))
        self._kind.append(kind.to_numpy().astype(np.int8))
        self._value.append(pc.fill_null(events["value"], 1.0).to_numpy().astype(np.float32))
        self._time.append(time.to_numpy().copy())  # not a view, which would hold Arrow's memory
        self._offset.append(events["offset"].to_numpy().copy())

    def settle(self) -> tuple[Mask, list[NDArray[np.int64]]]:
        """Return which events count, and of each table the offsets of those taken back."""
        kind = np.concatenate([np.empty(0, np.int8), *self._kind])
        forget = np.flatnonzero(kind == FORGET)
        gone = self._taken_back(forget) if len(forget) else np.zeros(len(kind), np.bool_)
        masks = np.split(gone, np.cumsum([len(one) for one in self._offset]))
        offsets = [
            offset[mask] for offset, mask in zip(_taken(self._offset), masks[:-1], strict=True)
        ]
        return ~(gone | (kind == FORGET)), offsets

    def cells(self, kept: Mask, titles: _Titles) -> Cells:
        """Return the cells of the events that are `kept`."""
        chosen: Mask | slice = slice(None) if kept.all() else kept
        user_ids, user = _sorted_rows(_taken(self._user), chosen)
        item_ids, item = _sorted_rows(_taken(self._item), chosen)
        if max(len(user_ids), len(item_ids)) > MOST_IDS:
            raise ShapeError(f"{len(user_ids)} users, {len(item_ids)} items: at most {MOST_IDS}")
        key = user.astype(np.int64)
        del user
        key *= len(item_ids)
        key += item
        del item
        key *= len(KINDS)
        key += np.concatenate([np.empty(0, np.int8), *_taken(self._kind)])[chosen]
        time = np.concatenate([np.empty(0), *_taken(self._time)])[chosen]
        newest = float(time.max()) if len(time) else 0.0
        latest = _latest(key, time)
        key, time = key[latest], time[latest]
        value = np.concatenate([np.empty(0, np.float32), *_taken(self._value)])[chosen][latest]
        del latest
        kind = (key % len(KINDS)).astype(np.int8)
        key //= len(KINDS)
        first = _first(key)
        starts = np.flatnonzero(first)
        values = np.full((len(starts), len(KINDS)), np.nan, np.float32)
        values[np.cumsum(first, dtype=np.int32) - 1, kind] = value
        key = key[starts]
        return Cells(
            user_ids=user_ids,
            item_ids=item_ids,
            titles=tuple(titles.of(one) for one in item_ids),
            user=(key // max(1, len(item_ids))).astype(np.int32),
            item=(key % max(1, len(item_ids))).astype(np.int32),
            time=_largest(time, starts),
            values=values,
            newest=newest,
        )

    def _taken_back(self, forget: NDArray[np.int64]) -> Mask:
        """Return (events,): which ones a `forget` takes back; `forget` says where those stand."""
        ids, user = _sorted_rows(self._user, slice(None))
        time = np.concatenate(self._time)
        until, before = np.full(len(ids), -np.inf), np.full(len(ids), -1)
        np.maximum.at(until, user[forget], time[forget])
        gone = time < until[user]
        for first, end in self._by_partition():
            inside = forget[(forget >= first) & (forget < end)]
            before[:] = -1
            np.maximum.at(before, user[inside], inside)
            gone[first:end] |= np.arange(first, end) < before[user[first:end]]
        gone[forget] = False
        return gone

    def _by_partition(self) -> Iterator[tuple[int, int]]:
        """Yield where the events of each partition begin and end."""
        bounds = np.concatenate(([0], np.cumsum([len(one) for one in self._kind])))
        for one in sorted(set(self._partition)):
            tables = [place for place, seen in enumerate(self._partition) if seen == one]
            yield int(bounds[tables[0]]), int(bounds[tables[-1] + 1])


def _taken(parts: list[Part]) -> list[Part]:
    """Return the parts, and forget them here: joined, they are needed no more."""
    taken = parts[:]
    parts.clear()
    return taken


class _Latest(NamedTuple):
    at: tuple[float, int]
    title: str


class _Titles:
    """The latest title of each item; between titles of the same time, the one further on counts.

    Also that of an event that was forgotten: what an item is called tells nothing of the user.
    """

    def __init__(self) -> None:
        self._latest: dict[tuple[type, ItemId], _Latest] = {}
        self._tables = 0

    def take(self, table: pa.Table) -> None:
        """Look at one table's titles."""
        self._tables += 1
        named = pc.or_(pc.is_valid(table["item_int"]), pc.is_valid(table["item_text"]))
        told = table.filter(pc.and_(named, pc.is_valid(table["title"])))
        ids, item = _coded(told["item_int"], told["item_text"])
        time = pc.coalesce(told["timestamp"], told["at"]).to_numpy()
        latest = _latest(item.astype(np.int64), time)
        titles = told["title"].take(pa.array(latest)).to_pylist()
        items: list[ItemId] = [*ids.numbers.tolist(), *ids.texts]
        for one, at, title in zip(items, time[latest].tolist(), titles, strict=True):
            found = _Latest((at, self._tables), title)
            key = (type(one), one)
            self._latest[key] = max(found, self._latest.get(key, found))

    def of(self, item_id: ItemId) -> str | None:
        """Return the item's title; None if none was told."""
        found = self._latest.get((type(item_id), item_id))
        return found.title if found else None


def _coded(numbers: pa.ChunkedArray, texts: pa.ChunkedArray) -> tuple[_Ids, Rows]:
    """Return the ids of two columns, of which one has the id, and each row's place among them.

    A row that has neither has place -1.
    """
    integers = numbers.combine_chunks().dictionary_encode()
    strings = texts.combine_chunks().dictionary_encode()
    ids = _Ids(integers.dictionary.to_numpy(), strings.dictionary.to_pylist())
    codes: Rows = pc.fill_null(integers.indices, -1).to_numpy().copy()
    if ids.texts:
        code = pc.fill_null(strings.indices, -1).to_numpy()
        np.copyto(codes, code + len(ids.numbers), where=code >= 0)
    return ids, codes


def _sorted_rows(
    coded: Sequence[tuple[_Ids, Rows]], chosen: Mask | slice
) -> tuple[tuple[Any, ...], Rows]:
    """Return the ids that `chosen` events name, integers before strings, and those events' rows."""
    numbers = np.unique(np.concatenate([np.empty(0, np.int64), *(ids.numbers for ids, _ in coded)]))
    texts = sorted({text for ids, _ in coded for text in ids.texts})
    row_by_text = {text: row for row, text in enumerate(texts, len(numbers))}
    rows = np.empty(sum(len(codes) for _, codes in coded), np.int32)
    end = 0
    for ids, codes in coded:
        start, end = end, end + len(codes)
        named = np.array([row_by_text[text] for text in ids.texts], np.int32)
        place = np.concatenate([np.searchsorted(numbers, ids.numbers), named, [-1]])
        rows[start:end] = place.astype(np.int32)[codes]  # the last one, -1, stands for none
    rows = rows[chosen]
    used = np.bincount(rows, minlength=len(numbers) + len(texts)) > 0
    ids_in_order = (*numbers.tolist(), *texts)
    if used.all():
        return ids_in_order, rows
    row = np.cumsum(used, dtype=np.int32) - np.int32(1)
    return _chosen(ids_in_order, used), row[rows]


def _latest(key: NDArray[np.int64], time: Floats) -> NDArray[np.int64]:
    """Return, for each key in ascending order, where the latest of its rows is.

    >>> _latest(np.array([5, 3, 5, 5]), np.array([1.0, 0.0, 2.0, 2.0])).tolist()
    [1, 3]
    """
    order = np.argsort(key, kind="stable")
    first = _first(key[order])
    if first.all():
        return order
    several = ~(first & np.append(first[1:], True))  # rows whose key has others: seldom many
    latest, rows = order[first], order[several]
    starts = np.flatnonzero(first[several])
    times = time[rows]
    rows[times != _largest(times, starts)[np.cumsum(first[several]) - 1]] = -1
    latest[several[first]] = _largest(rows, starts)
    return latest


def _first(ordered: NDArray[np.int64]) -> Mask:
    """Return where a run of equal values begins."""
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def _largest(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    """Return the largest value of each run."""
    return np.maximum.reduceat(values, starts) if len(starts) else values[:0]
