"""The slow twin: one user's answer, recomputed from the interaction topic and a version alone.

Written from the documents, not from the code: plain lists, dictionaries and one dense equation. It
uses nothing of `registry.fresh` and `registry.scoring`, and learns nothing of a version's users but
their stored vectors.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Message

from registry.kafka.topic_reader import ALL, ends_of, reading
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.versions.model import Model

User = int
DAY_SECONDS = 86_400
MORE = 20
"""Items beyond the last of a list whose scores are told, for what lies close."""


class Done(NamedTuple):
    """One interaction, and where it stands."""

    partition: int
    offset: int
    item: int | None
    kind: str
    value: float
    time: float


class Expected(NamedTuple):
    """What an answer should be; ``score_of`` has the items that it may hold, and some more.

    ``shares`` have what each of the user's own items adds to a score, by item; nothing where none
    does.
    """

    source: str
    ranked: list[int]
    score_of: Mapping[int, float]
    shares: Mapping[int, Mapping[int, float]] = {}


def read_interactions(settings: Settings) -> dict[User, list[Done]]:
    """Return what the topic holds of each user, in its order."""
    topic, found = topics_of(settings).interactions, defaultdict(list)
    left = {number: end for number, end in ends_of(settings, topic).items() if end}
    with reading(settings, topic, ALL) as consumer:
        while left:
            for message in consumer.consume(10_000, 1.0):
                number, offset = message.partition(), message.offset()
                if not message.error():
                    user, done = _read(message)
                    found[user].append(done)
                    if offset + 1 >= left.get(number, math.inf):
                        del left[number]
    return found


def _read(message: Message) -> tuple[User, Done]:
    record: dict[str, Any] = json.loads(message.value() or b"")
    value, time = record.get("value"), record.get("timestamp")
    return record["user_id"], Done(
        message.partition() or 0,
        message.offset() or 0,
        record.get("item_id"),
        record["event"],
        1.0 if value is None else value,
        message.timestamp()[1] / 1000 if time is None else time,
    )


class SlowTwin:
    """One version, as the documents describe what it answers."""

    def __init__(self, model: Model, settings: Settings) -> None:
        arrays, manifest = model.arrays, model.manifest
        assert arrays.learned is not None, "format 1: the version keeps nothing to merge with"
        self.ends = {int(n): end for n, (_, end) in manifest.data_snapshot.partitions.items()}
        self.parameters = manifest.parameters
        self.most, self.least = settings.fresh_items, settings.fold_in_least
        self.newest = arrays.learned.newest
        self.items = [int(item) for item in arrays.item_ids]
        self.row_of = {item: row for row, item in enumerate(self.items)}
        self.y = arrays.item_factors.astype(np.float64)
        self.product = self.y.T @ self.y
        self.vectors = dict(zip(arrays.user_ids, arrays.user_factors, strict=True))
        self.popularity = arrays.popularity

    def answer(
        self,
        done: Collection[Done],
        offsets: Mapping[str, int],
        k: int,
        others: Collection[SlowTwin] = (),
        user: User | None = 0,
        since: Mapping[str, int] | None = None,
        session: Sequence[int] = (),
        shown: Callable[[int], bool] | None = None,
        *,
        explain: bool = False,
    ) -> Expected:
        """Return the answer for a user who did this, of whom what is before `offsets` was seen.

        While a worker catches up, that is what is fresh from `since` on, and no more. The user
        watches the items of the `session` right now; only items that are `shown` are ranked. With
        `explain`, it says what each of the user's items adds to each score.
        """
        learned, fresh, forgotten = self._counting(done, offsets, since)
        now = [Done(-1, n, item, "watch", 1.0, math.inf) for n, item in enumerate(session)]
        undos = [event for event in fresh if self._undone_by(event)]
        plain = [event for event in fresh if not self._undone_by(event)]
        plain.sort(key=lambda event: (event.time, event.partition, event.offset))
        newest = [*undos, *plain[-self.most :], *now]
        weights = {
            item: self._weight(kinds) for item, kinds in self._latest(learned, newest).items()
        }
        seen = set(self._latest(learned, [*fresh, *now]))
        stored = None if user is None else self.vectors.get(user)
        is_known = stored is not None and bool(np.any(stored)) and not forgotten
        is_fresh = any(event.item in self.row_of for event in newest)
        taught = {item: weight for item, weight in weights.items() if weight > 0}
        least = 1 if session else self.least
        if is_known and not (
            is_fresh or any(twin.touched(done, offsets, since) for twin in others)
        ):
            source, scores = "model", self.y @ stored.astype(np.float64)
        elif taught if is_known else len(taught) >= least:
            source, scores = "recomputed" if is_known else "fold_in", self._solved(taught)
        else:
            source, scores = "popular", self.popularity.astype(np.float64)
        if shown is not None:
            seen |= {item for item in self.items if not shown(item)}
        expected = self._ranked(source, scores, seen, k)
        return self._because(expected, taught) if explain and source != "popular" else expected

    def touched(
        self,
        done: Collection[Done],
        offsets: Mapping[str, int],
        since: Mapping[str, int] | None = None,
    ) -> bool:
        """Tell whether anything of this is fresh for the version."""
        _, fresh, forgotten = self._counting(done, offsets, since)
        return forgotten or any(event.item in self.row_of for event in fresh)

    def new_vector(
        self, done: Mapping[User, Collection[Done]], item: int
    ) -> tuple[int, np.ndarray]:
        """Return by how many users an item is learned that the version does not know, and how.

        The vector solves (X'X + λI + Σ(c - 1) x x') y = Σ c x over the stored vectors x of users.
        """
        everything = {str(partition): 2**62 for partition in range(64)}
        taught = {}
        for user, theirs in done.items():
            _, fresh, forgotten = self._counting(theirs, everything)
            in_time = sorted(fresh, key=lambda event: (event.time, event.offset))
            latest = {event.kind: event for event in in_time if event.item == item}
            is_known = user in self.vectors and bool(np.any(self.vectors[user]))
            if latest and is_known and not forgotten and self._weight(latest) > 0:
                taught[user] = self._weight(latest)
        stored = np.array(list(self.vectors.values()), np.float64)
        matrix = stored.T @ stored + self.parameters.regularization * np.eye(stored.shape[1])
        right = np.zeros(stored.shape[1])
        for user, weight in taught.items():
            x, c = self.vectors[user].astype(np.float64), self.parameters.alpha * weight
            matrix, right = matrix + (c - 1) * np.outer(x, x), right + c * x
        return len(taught), np.linalg.solve(matrix, right)

    def _counting(
        self,
        done: Collection[Done],
        offsets: Mapping[str, int],
        since_offsets: Mapping[str, int] | None = None,
    ) -> tuple[list[Done], list[Done], bool]:
        """Return what counts of what was learned and of what came since, and if all is forgotten.

        An interaction is in one of them, or not seen: never in both.
        """
        before = [event for event in done if event.offset < self.ends.get(event.partition, 0)]
        since = [
            event
            for event in done
            if self.ends.get(event.partition, 0)
            <= event.offset
            < offsets.get(str(event.partition), 0)
            and event.offset >= (since_offsets or {}).get(str(event.partition), 0)
        ]
        forgets = [event for event in since if event.kind == "forget"]
        old_forgets = [event for event in before if event.kind == "forget"]
        learned = [] if forgets else _left(before, old_forgets)
        until = max((event.time for event in old_forgets), default=-math.inf)
        fresh = [event for event in _left(since, forgets) if event.time >= until]
        kinds = self.parameters.weights
        return (
            [event for event in learned if event.kind in kinds],
            [event for event in fresh if event.kind in kinds],
            bool(forgets),
        )

    def _undone_by(self, event: Done) -> str | None:
        return self.parameters.weights[event.kind].undoes

    def _latest(self, learned: list[Done], fresh: list[Done]) -> dict[int, dict[str, Done]]:
        """Return what counts of each item: of each kind the latest event, if it was not undone."""
        ordered = [
            *sorted(learned, key=lambda event: (event.partition, event.offset)),
            *sorted(fresh, key=lambda event: (event.partition, event.offset)),
        ]
        cells: defaultdict[int, dict[str, Done]] = defaultdict(dict)
        ordered.sort(key=lambda event: event.time)  # stable: of equal times the last
        for event in ordered:
            if event.item in self.row_of and (undone := self._undone_by(event)):
                cells[event.item].pop(undone, None)
            elif event.item in self.row_of:
                cells[event.item][event.kind] = event
        return {item: kinds for item, kinds in cells.items() if kinds}

    def _weight(self, latest: Mapping[str, Done]) -> float:
        total = 0.0
        for kind, event in latest.items():
            weight = self.parameters.weights[kind]
            x = event.value - weight.floor
            f = {"linear": abs(x), "log": math.log1p(abs(x))}[weight.transform]
            total += weight.weight * math.copysign(f, x)
        age = max(0.0, self.newest - max(event.time for event in latest.values())) / DAY_SECONDS
        half_life = self.parameters.half_life_days
        return max(0.0, total) * (2 ** (-age / half_life) if half_life else 1.0)

    def _solved(self, taught: Mapping[int, float]) -> np.ndarray:
        """Return all scores: (Y'Y + λI + Σ(c - 1) y y') x = Σ c y."""
        y = self.y[[self.row_of[item] for item in taught]]
        c = self.parameters.alpha * np.array(list(taught.values()))
        return self.y @ np.linalg.solve(self._matrix(y, c), c @ y)

    def _because(self, expected: Expected, taught: Mapping[int, float]) -> Expected:
        """Add what each taught item adds to a score: c y_t' A^-1 y."""
        if not taught:
            return expected
        y = self.y[[self.row_of[item] for item in taught]]
        c = self.parameters.alpha * np.array(list(taught.values()))
        inverse = np.linalg.inv(self._matrix(y, c))
        shares = {}
        for item in expected.ranked:
            parts = c * (y @ inverse @ self.y[self.row_of[item]])
            shares[item] = dict(zip(taught, parts.tolist(), strict=True))
        return expected._replace(shares=shares)

    def _matrix(self, y: np.ndarray, c: np.ndarray) -> np.ndarray:
        penalty = self.parameters.regularization * np.eye(y.shape[1])
        return self.product + penalty + sum(
            (confidence - 1) * np.outer(row, row) for confidence, row in zip(c, y, strict=True)
        )  # fmt: skip

    def _ranked(
        self, source: str, scores: np.ndarray, seen: Collection[int | None], k: int
    ) -> Expected:
        best = np.argsort(-scores, kind="stable").tolist()
        rows = list(islice((row for row in best if self.items[row] not in seen), k + MORE))
        score_of = {self.items[row]: float(scores[row]) for row in rows}
        return Expected(source, [self.items[row] for row in rows[:k]], score_of)


def _left(events: Collection[Done], forgets: Collection[Done]) -> list[Done]:
    """Return what no `forget` takes back: what is earlier by time, or stands before it."""
    return [
        event
        for event in events
        if event.kind != "forget"
        and not any(
            event.time < forget.time
            or (event.partition == forget.partition and event.offset < forget.offset)
            for forget in forgets
        )
    ]
