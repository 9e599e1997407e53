"""Training sets for tests, with defaults, so that a test shows only what matters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from registry.manifest import Parameters
from registry.records import Interaction
from training.matrix import Cells, EventLog


def parameters(**changes: Any) -> Parameters:
    """Four factors, weights of 1, no floor."""
    given = {"factors": 4, "iterations": 8, "regularization": 0.05, "alpha": 1.0, "seed": 42}
    return Parameters(**given | changes)


def watch(user: Any, item: Any, at: float = 0.0, **more: Any) -> Interaction:
    return Interaction(user, item, "watch", timestamp=at, **more)


def rate(user: Any, item: Any, rating: float, at: float = 0.0, **more: Any) -> Interaction:
    return Interaction(user, item, "rate", rating, timestamp=at, **more)


def log_of(events: Iterable[Interaction]) -> EventLog:
    """Return a log of events that stand one after the other in partition 0."""
    log = EventLog()
    for offset, event in enumerate(events):
        log.add(event, 0.0, 0, offset)
    return log


def cells_of(*events: Interaction) -> Cells:
    return log_of(events).cells()


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


def dense(cells: Cells, column: int) -> np.ndarray[Any, Any]:
    """Return the values of one kind as a users × items matrix, NaN where there is none."""
    matrix = np.full(cells.shape, np.nan)
    matrix[cells.user, cells.item] = cells.values[:, column]
    return matrix
