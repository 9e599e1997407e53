"""The model that serves: one version's arrays, scored for a batch of requests at once.

Knows who requests what. Must not know how scores are computed (:mod:`registry.scoring.ranking`),
what is known of a user (:mod:`registry.scoring.known_users`), where a version comes from, who
routes to it, or Kafka.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from registry.answers.item_texts import ItemTexts
from registry.answers.recommendation import Recommendation
from registry.catalogue.availability import Withdrawals
from registry.catalogue.label_masks import LabelMasks
from registry.catalogue.shown_rows import ShownRows
from registry.fold_in.vector_cache import VectorCache
from registry.fresh.version_window import NO_ROWS, FreshUser
from registry.ids import ItemId
from registry.scoring.candidate_ranking import best_among, first_of
from registry.scoring.id_index import Rows
from registry.scoring.kernel_choice import KernelUse
from registry.scoring.kernels import ItemRows
from registry.scoring.known_users import KnownUsers
from registry.scoring.model_arrays import Factors, ModelArrays
from registry.scoring.popular_items import by_popularity, most_popular
from registry.scoring.ranking import Ranked, Ranking
from registry.scoring.similar_items import nearest_among
from registry.versions.capabilities.fresh_capability import fresh_vectors_of
from registry.versions.manifest import Manifest
from registry.versions.request_narrowing import narrowed, rows_of
from registry.wire.requests import Request
from registry.wire.responses import Source

PAGE_BYTES: Final = 4096
"""Reading one byte of each page maps it. Pages are at least this large on every machine."""

SAMPLED_USERS: Final = 64
"""By whom the kernels are timed."""


class _Query(NamedTuple):
    """One known user's part of a batch.

    ``indices`` are the item rows to hide: a list of queries stands in for a sparse matrix, at a
    hundredth of the cost of slicing one by row.
    """

    position: int
    source: Source
    k: int
    indices: ItemRows


class Model:
    """One resident version. Immutable; any number of threads may score with it at once.

    With other items withdrawn it is another model, of the same arrays: see :meth:`hiding`.

    Parameters
    ----------
    manifest
        The version's manifest.
    arrays
        Its arrays, as :func:`registry.versions.artifact_format.check_arrays` passed them.
    """

    def __init__(self, manifest: Manifest, arrays: ModelArrays) -> None:
        self.manifest = manifest
        self.version = manifest.version
        self.known_users = KnownUsers(arrays)
        self.users = len(arrays.user_ids)
        self.items = len(arrays.item_ids)
        self._ranking = Ranking(arrays.item_factors)
        self._popularity = arrays.popularity
        self._popular_rows = by_popularity(arrays.popularity)
        self._item_rows = Rows(arrays.item_ids)
        self._a_user = arrays.user_ids[0]
        self.texts = ItemTexts(arrays.item_ids, arrays.titles)
        self.learned = arrays.learned
        self.fresh_vectors = fresh_vectors_of(
            manifest, arrays, self.known_users.learned, self._item_rows.of
        )
        self.vector_cache = VectorCache()
        self.labels = arrays.labels
        self.label_masks = LabelMasks(arrays.labels, self.items)
        self._shown = ShownRows.all_of(self._popular_rows)

    @property
    def withdrawn_items(self) -> int:
        """How many of its items are in no answer."""
        return len(self._shown.withdrawn)

    @property
    def withdrawals(self) -> Withdrawals:
        """The items that are in no answer, whether the version knows them or not."""
        return self._shown.withdrawals

    def hiding(self, withdrawals: Withdrawals) -> Model:
        """Return this version with exactly these items in no answer; all arrays are shared."""
        made = copy(self)
        made._shown = self._shown.hiding(withdrawals, self.row_of, self._popular_rows)
        return made

    @property
    def arrays(self) -> ModelArrays:
        """What it was made of, for comparisons; the users' ids are rebuilt."""
        return ModelArrays(
            user_factors=self.known_users.factors,
            item_factors=self._ranking.item_factors,
            user_ids=self.known_users.ids(),
            item_ids=self.texts.item_ids,
            seen_indptr=self.known_users.seen_bounds,
            seen_items=self.known_users.seen_items,
            popularity=self._popularity,
            titles=self.texts.titles,
            learned=self.learned,
            labels=self.labels,
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of the arrays that are in memory; the ids and titles come on top."""
        return sum(array.nbytes for array in self._mapped())

    @property
    def kernel(self) -> KernelUse:
        """Which kernel serves batches of which size, and how much of the catalogue it reads."""
        return self._ranking.kernel

    def row_of(self, item_id: ItemId) -> int | None:
        """Return an item's row; None if the version does not know it."""
        return self._item_rows.of(item_id)

    def recommend(
        self,
        requests: Sequence[Request],
        *,
        threads: int = 1,
        fresh: Sequence[FreshUser | None] = (),
    ) -> list[Recommendation]:
        """Return one recommendation per request, in their order.

        A known user gets the exact top k of ``user_factors[user] · item_factors``; a user that
        the training set does not hold, or of whom it taught nothing (factors all zero), gets the
        items with the most interactions. Equal scores go by row. What a request gets, to the last
        bit, does not depend on the others. Items to exclude, and those that are withdrawn, never
        show, nor do others than those that a request narrows its answer to; where fewer than k
        items are left, fewer come back.

        Parameters
        ----------
        requests
            Any mix of users and ``k``; empty gives an empty list.
        threads
            Threads that share the batch, in slices of 100 users.
        fresh
            What each request's user has done since the snapshot, None for nothing; empty: nothing
            is known of any. What he has seen is hidden where ``exclude_seen`` asks for it; who was
            forgotten is unknown; a vector that was solved for him ranks in the place of the stored
            one.

        Examples
        --------
        ``model.recommend([Request("r1", 7, k=3)])[0].items[0].item_id``
        """
        answers: list[Recommendation | None] = [None] * len(requests)
        queries_by_size: defaultdict[int, list[_Query]] = defaultdict(list)
        known = fresh or [None] * len(requests)
        users = self.known_users.askers([request.user_id for request in requests], known)
        for position, (request, lately) in enumerate(zip(requests, known, strict=True)):
            hidden = self._hidden_rows(request, users.seen[position], lately)
            source = users.sources[position]
            some = narrowed(request, self.label_masks, self.row_of)
            if some is not None:
                rows = some.less(hidden, self._shown.is_withdrawn)
                answers[position] = self._among(rows, request, users.vectors[position], source)
            elif source == "popular":
                most = most_popular(self._shown.popular, self._popularity, request.k, hidden)
                answers[position] = self._of(most, source)
            else:  # k of 2^n+1 .. 2^(n+1) go together: one k of 1000 must not cost all others
                query = _Query(position, source, request.k, hidden)
                queries_by_size[(request.k - 1).bit_length()].append(query)
        for queries in queries_by_size.values():
            for query, ranked in zip(
                queries, self._best(users.vectors, queries, threads), strict=True
            ):
                answers[query.position] = self._of(ranked, query.source)
        return [answer for answer in answers if answer is not None]

    def vectors_of(
        self, requests: Sequence[Request], fresh: Sequence[FreshUser | None] = ()
    ) -> list[npt.NDArray[np.float32] | None]:
        """Return what ranks for each request, None for popularity; as :meth:`recommend` has it."""
        known = fresh or [None] * len(requests)
        users = self.known_users.askers([request.user_id for request in requests], known)
        return [
            None if source == "popular" else vector
            for vector, source in zip(users.vectors, users.sources, strict=True)
        ]

    def names_of(self, rows: ItemRows) -> list[tuple[ItemId, str | None]]:
        """Return the id and the title of some items."""
        ids, titles = self.texts.item_ids, self.texts.titles
        return [(ids[row], titles[row]) for row in rows.tolist()]

    def warm(self) -> None:
        """Touch every page and score once, so that the first request waits for neither."""
        for array in self._mapped():
            array.ravel(order="K").view(np.uint8)[::PAGE_BYTES].sum()
        self._choose_kernel()
        self.recommend([Request("warm", self._a_user)])

    def _choose_kernel(self) -> None:
        """Time the kernels on users from all over the version."""
        users = self.known_users
        rows = users.learned_sample(SAMPLED_USERS)
        queries = [
            _Query(number, "model", 1, users.seen_in_row(row))
            for number, row in enumerate(rows.tolist())
        ]
        if queries:
            self._ranking.choose_kernel(users.factors[rows], queries, time.thread_time)

    def _best(self, vectors: Factors, queries: Sequence[_Query], threads: int) -> list[Ranked]:
        users = vectors[[query.position for query in queries]]
        sizes = [query.k for query in queries]
        withdrawn = self._shown.withdrawn if self.withdrawn_items else None
        return self._ranking.best(users, sizes, queries, threads, withdrawn)

    def _among(
        self,
        rows: ItemRows,
        request: Request,
        vector: npt.NDArray[np.float32],
        source: Source,
    ) -> Recommendation:
        """Rank these rows only: by what is liked, by a vector, or by popularity."""
        if request.like is not None:
            liked = rows_of(request.like, self.row_of)
            rows = rows[~np.isin(rows, liked)]
            if self._ranking.norms[liked].any():
                near = nearest_among(self._ranking, liked, rows, request.k)
                return self._of(near, "similar")
            source = "popular"
        if source == "popular":
            ranked = first_of(rows, self._popularity[rows], request.k)
        else:
            ranked = best_among(self._ranking, vector, rows, request.k)
        return self._of(ranked, source)

    def _of(self, ranked: Ranked, source: Source) -> Recommendation:
        return Recommendation(*ranked, source, self.texts)

    def _hidden_rows(self, request: Request, seen: ItemRows, lately: FreshUser | None) -> ItemRows:
        if not request.exclude_seen:
            seen = NO_ROWS
        elif lately is not None:
            seen = lately.seen if lately.is_all_seen else np.concatenate((seen, lately.seen))
        if not request.exclude_items:
            return seen
        excluded = [
            row
            for item_id in request.exclude_items
            if (row := self._item_rows.of(item_id)) is not None
        ]
        return np.concatenate((seen, np.array(excluded, dtype=np.int32)))

    def _mapped(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self.known_users.factors,
            self._ranking.item_factors,
            self.known_users.seen_bounds,
            self.known_users.seen_items,
            self._popularity,
        )
