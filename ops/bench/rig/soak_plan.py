"""The plan of a soak: what happens to the fleet, and when, drawn from a seed.

Pure. The same seed and length give the same plan, so that a run that went wrong can be repeated.
Must not know how any of it is done.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

Kind: TypeAlias = Literal[
    "swap", "canary", "shadow", "training", "poison", "restart", "kill", "broker",
    "join", "freeze", "stall",
]  # fmt: skip
ALL_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MEMBER_KINDS: Final[tuple[Kind, ...]] = ("join", "freeze")
CLUSTER_KINDS: Final[tuple[Kind, ...]] = ("stall",)
"""A broker that freezes: the others must be able to go on."""

KINDS: Final = tuple(kind for kind in ALL_KINDS if kind not in MEMBER_KINDS + CLUSTER_KINDS)
"""Of a soak that was not asked for more: the same seed stays the same plan."""

WEIGHTS: Final[Mapping[Kind, int]] = {
    "swap": 30, "canary": 12, "shadow": 6, "training": 4, "poison": 30, "restart": 5, "kill": 3,
    "broker": 2, "join": 4, "freeze": 3, "stall": 3,
}  # fmt: skip

AFTER_SECONDS: Final[Mapping[Kind, float]] = {
    "swap": 5.0, "canary": 8.0, "shadow": 8.0, "training": 10.0, "poison": 2.0, "restart": 15.0,
    "kill": 25.0, "broker": 25.0, "join": 30.0, "freeze": 35.0,
    "stall": 60.0,
}  # fmt: skip
"""Between one event and the next: a fleet that has not come back from one would be measured by the
sum of two."""

REST_SECONDS: Final = 20.0
"""Without events, before the end: what is lost must be lost, not late."""


class PlannedEvent(NamedTuple):
    """An event, and its time in seconds after the start."""

    at: float
    kind: Kind


def planned(seconds: float, seed: int, kinds: Sequence[Kind] = KINDS) -> tuple[PlannedEvent, ...]:
    """Return the events of a soak of `seconds`, in order.

    Each kind comes once before any is drawn, if there is time: a short run is not one-sided.

    Examples
    --------
    >>> [event.kind for event in planned(60, seed=1)]
    ['shadow', 'poison', 'swap', 'broker']
    >>> planned(3600, 7) == planned(3600, 7)
    True
    """
    draw = random.Random(seed)
    first = list(kinds)
    draw.shuffle(first)
    events: list[PlannedEvent] = []
    at = AFTER_SECONDS["swap"]
    while at < seconds - REST_SECONDS:
        kind = first.pop() if first else draw.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
        events.append(PlannedEvent(round(at, 1), kind))
        at += AFTER_SECONDS[kind] * draw.uniform(0.8, 1.2)
    return tuple(events)
