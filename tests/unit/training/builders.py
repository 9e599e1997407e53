"""Training sets for tests, with defaults, so that a test shows only what matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from registry.versions.manifest import Parameters
from registry.wire.codec import encode
from registry.wire.training_records.interactions import Interaction
from training.data.cells_from_rows import Gathered, gather
from training.data.matrix import Cells
from training.log.rows import table_of


def parameters(**changes: Any) -> Parameters:
    """Four factors, weights of 1, no floor."""
    given = {"factors": 4, "iterations": 8, "regularization": 0.05, "alpha": 1.0, "seed": 42}
    return Parameters(**given | changes)


def watch(user: Any, item: Any, at: float = 0.0, **more: Any) -> Interaction:
    return Interaction(user_id=user, item_id=item, event="watch", timestamp=at, **more)


def rate(user: Any, item: Any, rating: float, at: float = 0.0, **more: Any) -> Interaction:
    return Interaction(user_id=user, item_id=item, event="rate", value=rating, timestamp=at, **more)


def forget(user: Any, at: float = 0.0) -> Interaction:
    return Interaction(user_id=user, event="forget", timestamp=at)


def rows_of(events: Iterable[Interaction], recorded_at: float = 1e9) -> Any:
    """Return the rows of events that stand one after the other in one partition, from offset 0."""
    payloads = [encode(event) for event in events]
    return table_of(range(len(payloads)), [recorded_at] * len(payloads), payloads)


def gathered(*partitions: Sequence[Interaction]) -> Gathered:
    """Return what comes of the events of each partition."""
    return gather_rows([(number, rows_of(events)) for number, events in enumerate(partitions)])


def gather_rows(tables: Sequence[tuple[int, Any]]) -> Gathered:
    """Return what comes of (partition, rows)."""
    return gather(lambda _columns: tables)


@lru_cache(maxsize=16)
def cells_of(*events: Interaction) -> Cells:
    return gathered([*events]).cells


def checkerboard_events(users: int = 24, items: int = 24) -> list[Interaction]:
    """Even users watch even items, odd users odd ones; each leaves one out, watched by the others.

    The right answer is obvious: what is left of one's own colour. Odd items are watched by fewer
    users, so that popularity is wrong for half of the users.
    """
    return [
        watch(user, item, at=float((item - user) % items))
        for user in range(users)
        for item in range(items)
        if user % 2 == item % 2 and item != (user + 2) % items
    ]


def same_cells(first: Cells, other: Cells) -> bool:
    names = ("user_ids", "item_ids", "titles", "newest")
    return all(getattr(first, name) == getattr(other, name) for name in names) and (
        _bytes_of(first) == _bytes_of(other)
    )


def _bytes_of(cells: Cells) -> dict[str, bytes]:
    columns = {"indptr": cells.indptr, "item": cells.item, "time": cells.time, **cells.values}
    return {name: column.tobytes() for name, column in columns.items()}


@cache
def play_counts(
    users: int = 200, items: int = 160, tastes: int = 8, plays: int = 30
) -> Sequence[Interaction]:
    """Like Last.fm's: counts up to 350,000 with a median of 260, no timestamps, a known taste.

    Users and items have a taste each, by their ids; nine in ten of what a user plays are of it. How
    often says little: a few of the others are left running for months.
    """
    random = np.random.default_rng(11)
    ids = np.arange(items)
    events = []
    for user in range(users):
        likes = np.where(ids % tastes == user % tastes, 9.0, 1.0 / (tastes - 1))
        likes *= 1 / (1 + ids // tastes)  # some items are played by more users than others
        chosen = random.choice(ids, plays, replace=False, p=likes / likes.sum())
        counts = np.minimum(np.exp(random.normal(np.log(260), 1.3, plays)), 20_000).round() + 1
        left_running = (chosen % tastes != user % tastes) & (random.random(plays) < 0.3)
        counts[left_running] = random.uniform(50_000, 350_000, left_running.sum()).round()
        events += [
            Interaction(user_id=user, item_id=int(item), event="watch", value=float(count))
            for item, count in zip(chosen, counts, strict=True)
        ]
    return events
