"""A kernel of NumPy alone: tiles of items, largest scores of blocks, and an end to the scan.

Each tile of items is multiplied with a slice of users at once, and only blocks whose largest score
reaches a user's threshold are looked into. By Cauchy and Schwarz no score is larger than the
product of two norms, so a user is done as soon as the largest norm of what follows cannot reach his
threshold. Fitted factors differ much in their norms: in the order of falling norms, in which
versions are published, most of a large catalogue is never read. In any other order the kernel is as
exact, and reads more.

Proposes, as every kernel does; recomputed scores decide (:mod:`registry.scoring.ranking`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from registry.scoring.kernels import (
    HIDDEN_SCORE,
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    Hiding,
    ItemRows,
    Proposal,
    Scores,
)
from registry.scoring.model_arrays import Factors, ModelArrays

FIRST_TILE: Final = 4_096
"""Items. Small, because what is found here decides how much of the rest is read."""

TILE: Final = 16_384
"""Items. Larger ones read beyond a user's end, smaller ones cost more calls."""

BLOCK: Final = 32
"""Items whose largest score is compared first. 16 to 64 differ by a few percent."""

SLICE: Final = 128
"""Users who share a matrix product. With a tile they take 8 MB of scores."""

SAMPLE: Final = 64
"""Users by whom it is told how much of a version is read."""

SAMPLE_ASKED: Final = 12
"""Items for each: ten, and what ranking asks for beyond them."""

_memory = threading.local()


class _Tile(NamedTuple):
    """Item rows from `start` to `end`; from here on no norm is larger than `largest_norm`."""

    start: int
    end: int
    largest_norm: float


class TileScan:
    """Scans one version's items. Immutable; any number of threads may use it at once.

    Parameters
    ----------
    item_factors
        float32 (items, factors), in Fortran order.
    first_tile, tile
        Items of the first tile, and of all others.
    """

    name = "tiles"

    def __init__(
        self, item_factors: Factors, first_tile: int = FIRST_TILE, tile: int = TILE
    ) -> None:
        items = len(item_factors)
        self._columns = item_factors.T
        norms = np.sqrt(np.einsum("ij,ij->i", item_factors, item_factors, dtype=np.float64))
        largest = np.maximum.accumulate(norms[::-1])[::-1]
        starts = [0, *range(first_tile, items, tile)] if items > tile else [0]
        ends = [*starts[1:], items]
        self._tiles = [
            _Tile(start, end, float(largest[start]))
            for start, end in zip(starts, ends, strict=True)
        ]

    def propose(
        self,
        users: Factors,
        asked: int,
        hiding: Sequence[Hiding],
        withdrawn: ItemRows | None = None,
        threads: int = 1,
    ) -> Proposal:
        """Return each user's best items by this kernel's scores; see `Kernel.propose`."""
        scans = [
            self._scan(
                users[start : start + SLICE], asked, hiding[start : start + SLICE], withdrawn
            )
            for start in range(0, len(users), SLICE)
        ]
        if threads > 1 and len(scans) > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(self._run, scans))
        else:
            for scan in scans:
                self._run(scan)
        return (
            np.concatenate([scan.rows for scan in scans]),
            np.concatenate([scan.scores for scan in scans]),
        )

    def share_read(self, users: Factors, asked: int, hiding: Sequence[Hiding]) -> float:
        """Return the share of all scores of `users`, at most a slice of them, that is computed."""
        scan = self._scan(users[:SLICE], asked, hiding[:SLICE])
        self._run(scan)
        return float(scan.computed / (len(scan.rows) * self._columns.shape[1]))

    def _scan(
        self,
        users: Factors,
        asked: int,
        hiding: Sequence[Hiding],
        withdrawn: ItemRows | None = None,
    ) -> _Scan:
        return _Scan(users, asked, hiding, withdrawn, in_tiles=len(self._tiles) > 1)

    def _run(self, scan: _Scan) -> None:
        for tile in self._tiles:
            if not scan.keep_users_below(tile.largest_norm):
                return
            scan.take(tile, self._columns[:, tile.start : tile.end])


class _Nothing(NamedTuple):
    """Hides no item."""

    indices: ItemRows = np.empty(0, np.int32)


def share_read_of(arrays: ModelArrays) -> float | None:
    """Return the share of all scores that is computed for users of a version; None if it has none.

    What they have seen is not hidden, so they read a little less than in answers.
    """
    learned = np.flatnonzero(arrays.user_factors.any(axis=1))
    users = arrays.user_factors[learned[:: max(1, len(learned) // SAMPLE)][:SAMPLE]]
    if not len(users):
        return None
    scan = TileScan(np.asfortranarray(arrays.item_factors))
    asked = min(SAMPLE_ASKED, len(arrays.item_factors))
    return scan.share_read(users, asked, [_Nothing()] * len(users))


class _Scan:
    """The scan of one slice of users: `rows` and `scores` are the best so far, best first."""

    def __init__(
        self,
        users: Factors,
        asked: int,
        hiding: Sequence[Hiding],
        withdrawn: ItemRows | None,
        *,
        in_tiles: bool,
    ) -> None:
        self._withdrawn = np.empty(0, np.int32) if withdrawn is None else np.sort(withdrawn)
        self._users = users
        self._norms = np.sqrt(np.einsum("ij,ij->i", users, users, dtype=np.float64))
        self._active = np.arange(len(users))
        hidden = np.concatenate([hides.indices for hides in hiding]).astype(np.int64)
        of_user = np.repeat(self._active, [len(hides.indices) for hides in hiding])
        self._in_tiles = in_tiles
        order = np.argsort(hidden) if in_tiles else slice(None)
        self._hidden, self._hidden_of = hidden[order], of_user[order]
        self.rows: ItemRows = np.zeros((len(users), asked), np.int32)
        self.scores: Scores = np.full((len(users), asked), HIDDEN_SCORE, np.float32)
        self.computed = 0

    def keep_users_below(self, largest_norm: float) -> bool:
        """Leave out users whose last best score is beyond reach; tell whether any are left.

        A score is off by at most ``f·u`` of the product of the norms, and by what underflows.
        """
        factors = self._users.shape[1]
        reach = self._norms[self._active] * largest_norm * (1 + 2 * factors * UNIT_ROUNDOFF)
        reach += factors * SMALLEST_NORMAL
        self._active = self._active[reach >= self.scores[self._active, -1]]
        return len(self._active) > 0

    def take(self, tile: _Tile, columns: Factors) -> None:
        """Score a tile for the users that are left, and merge its best into theirs."""
        scores = self._score(tile, columns)
        blocks = scores.shape[2]
        maxima = scores.max(axis=1)
        threshold = self._threshold(tile, scores, maxima)
        who, block = _places(maxima >= threshold[:, np.newaxis])
        if not len(who):
            return
        candidates = scores[who, :, block]
        at, offset = _places(candidates >= threshold[who][:, np.newaxis])
        self._merge(
            who[at],
            candidates[at, offset],
            (tile.start + offset * blocks + block[at]).astype(np.int32),
            with_known=tile.start > 0,
        )

    def _score(self, tile: _Tile, columns: Factors) -> Scores:
        """Return the scores of the tile, (users, `BLOCK`, blocks): item ``offset·blocks + block``.

        Hidden items, and those that fill up the last blocks, have `HIDDEN_SCORE`.
        """
        active, width = self._active, tile.end - tile.start
        self.computed += len(active) * width
        blocks = -(-width // BLOCK)
        padded = blocks * BLOCK
        scores = _scratch(len(active) * padded).reshape(len(active), padded)
        whole = len(active) == len(self._users)
        np.matmul(self._users if whole else self._users[active], columns, out=scores[:, :width])
        scores[:, width:] = HIDDEN_SCORE
        hidden, hidden_of = self._hidden_in(tile)
        scores[hidden_of, hidden - tile.start] = HIDDEN_SCORE
        first, last = np.searchsorted(self._withdrawn, (tile.start, tile.end))
        scores[:, self._withdrawn[first:last] - tile.start] = HIDDEN_SCORE
        return scores.reshape(len(active), BLOCK, blocks)

    def _hidden_in(self, tile: _Tile) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
        """Return the hidden rows of a tile, and the places of their users among the active ones."""
        if not self._in_tiles:
            return self._hidden, self._hidden_of
        first, last = np.searchsorted(self._hidden, (tile.start, tile.end))
        place = np.full(len(self._users), -1)
        place[self._active] = np.arange(len(self._active))
        places = place[self._hidden_of[first:last]]
        return self._hidden[first:last][places >= 0], places[places >= 0]

    def _threshold(self, tile: _Tile, scores: Scores, maxima: Scores) -> Scores:
        """Return what a score must reach: at least `asked` items of the first tile do."""
        asked = self.scores.shape[1]
        if tile.start:
            known: Scores = self.scores[self._active, -1]
            return known
        among = maxima if maxima.shape[1] > asked else scores.reshape(len(scores), -1)
        kth = among.shape[1] - asked
        threshold: Scores = np.partition(among, kth, axis=1)[:, kth]
        return threshold

    def _merge(
        self, who: npt.NDArray[np.intp], scores: Scores, rows: ItemRows, *, with_known: bool
    ) -> None:
        """Keep the best of what was found and, unless this is the first tile, of what is known."""
        asked = self.scores.shape[1]
        if with_known:
            found = np.unique(who)
            users = self._active[found]
            who = np.concatenate((np.repeat(found, asked), who))
            scores = np.concatenate((self.scores[users].ravel(), scores))
            rows = np.concatenate((self.rows[users].ravel(), rows))
        else:
            found, users = np.arange(len(self._active)), self._active
        order = np.lexsort((-scores, who))
        first = np.searchsorted(who[order], found)
        best = order[first[:, np.newaxis] + np.arange(asked)]
        self.rows[users], self.scores[users] = rows[best], scores[best]
        # beyond the last item there is no row
        self.rows[users] *= self.scores[users] > HIDDEN_SCORE


def _places(
    holds: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return where `holds` is true, as ``np.nonzero`` does in four times the time."""
    return np.divmod(np.flatnonzero(holds), holds.shape[1])


def _scratch(size: int) -> Scores:
    """Return this thread's memory for scores, as large as it ever had to be; not cleared."""
    memory: Scores | None = getattr(_memory, "scores", None)
    if memory is None or len(memory) < size:
        memory = _memory.scores = np.empty(size, np.float32)
    return memory[:size]
