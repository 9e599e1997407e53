"""``bench train``: a whole run against what it cannot do without, a bare read and a bare fit.

Knows the made-up interactions and the bars; :mod:`ops.bench.train_sides` is what runs in the two
child processes, each with a memory of its own. Must not know how a run learns.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from ops import client
from ops.bench.figures import at_most
from ops.bench.ground import Ground, child_environment, fresh_topics
from ops.bench.machine import cores
from ops.bench.report import Cell
from ops.bench.run import Measured
from ops.bench.train_sides import Bare, Ours
from registry.errors import TransportError
from registry.ids import UserId
from registry.settings import Settings
from registry.topics import topics_of

TIME_BAR: Final = 1.3
MEMORY_BAR: Final = 2.0

INTERACTIONS: Final = 10_000_000
QUICK_INTERACTIONS: Final = 100_000
FACTORS: Final = 64
ITERATIONS: Final = 15
SEED: Final = 42

PER_USER: Final = 50
PER_ITEM: Final = 500
TASTES: Final = 20
"""Users and items are of one taste each. Without any there would be nothing to learn, the gate
would refuse, and publication would not be measured."""

OWN_TASTE: Final = 0.8
EXPONENT: Final = 0.5
"""The n-th user, or item, has n^-0.5 of the first one's interactions. With more, most would be of
the same pairs again, and the matrix small."""

CHUNK: Final = 1_000_000
SIDE_SECONDS: Final = 3600.0
MEGABYTE: Final = 1024 * 1024

Found = TypeVar("Found", Ours, Bare)
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is to learn from."""

    interactions: int

    @property
    def users(self) -> int:
        """How many users there are at most."""
        return max(100, self.interactions // PER_USER)

    @property
    def items(self) -> int:
        """How many items there are at most."""
        return max(100, self.interactions // PER_ITEM)


def measure(on: Ground, interactions: int, say: Callable[[str], None]) -> Measured:
    """Fill a topic, then learn from it in one child process, and read and fit it in another."""
    sizes = Sizes(interactions)
    chosen = {
        "RETRAIN_FACTORS": str(FACTORS),
        "RETRAIN_ITERATIONS": str(ITERATIONS),
        "RETRAIN_THREADS": str(cores()),
    }
    with fresh_topics(on, "train", **chosen) as settings:
        say(f"sending {interactions:,} interactions")
        sent = client.produce_all(
            settings, topics_of(settings).interactions, records(sizes), on_sent=None
        )
        say("the bare side: one read, one fit")
        bare = _side(on, settings, "bare", Bare, str(sizes.interactions))
        say("a whole run, from a registry that holds nothing")
        ours = _side(on, settings, "ours", Ours)
        say("a second run: its snapshot is held")
        again = _side(on, settings, "ours", Ours)
    whole = sum(ours.seconds_by_stage.values())
    least = bare.read_seconds + bare.fit_seconds
    return Measured(
        parameters={
            "interactions": sent,
            "users": sizes.users,
            "items": sizes.items,
            "factors": FACTORS,
            "iterations": ITERATIONS,
            "threads": cores(),
            "CSR MB": bare.matrix_bytes / MEGABYTE,
        },
        rows=[*_rows(bare, ours, again)],
        bars=[
            at_most("times a bare read and a bare fit", whole / least, TIME_BAR),
            at_most(
                "times the CSR matrix, before the fit",
                ours.grown_bytes("snapshot") / bare.matrix_bytes,
                MEMORY_BAR,
            ),
        ],
        notes=[
            f"Peak of the whole run: {ours.grown_bytes() / bare.matrix_bytes:.1f} times the CSR "
            f"matrix; of the bare fit alone: {bare.grown_bytes / bare.matrix_bytes:.1f}. Both are "
            "counted from after the imports.",
            "A run fits twice: on the older part, to be judged, and on all, to be published.",
            f"The run ended {ours.status}.",
        ],
    )


def records(sizes: Sizes) -> Iterator[tuple[UserId, bytes]]:
    """Yield interactions as (key, record); the same ones for the same sizes."""
    at = 0
    for user, item in pairs(sizes):
        for one_user, one_item in zip(user.tolist(), item.tolist(), strict=True):
            at += 1
            yield (
                one_user,
                b'{"user_id":%d,"item_id":%d,"event":"watch","timestamp":%d}'
                % (one_user, one_item, at),
            )


def pairs(sizes: Sizes) -> Iterator[Pairs]:
    """Yield the users and the items of the interactions, some at a time.

    >>> user, item = next(pairs(Sizes(1000)))
    >>> len(user), bool(np.mean(user % TASTES == item % TASTES) > 0.7)
    (1000, True)
    """
    random = np.random.default_rng(SEED)
    for start in range(0, sizes.interactions, CHUNK):
        count = min(CHUNK, sizes.interactions - start)
        user = _by_power_law(random.random(count), sizes.users)
        item = _by_power_law(random.random(count), sizes.items // TASTES)
        own = random.random(count) < OWN_TASTE
        taste = np.where(own, user % TASTES, random.integers(0, TASTES, count))
        yield user, item * TASTES + taste


def _by_power_law(share: npt.NDArray[np.float64], many: int) -> npt.NDArray[np.int64]:
    """Return ranks, from 0, that fall off with `EXPONENT`: the inverse of its distribution."""
    return np.floor(many * share ** (1 / (1 - EXPONENT))).astype(np.int64)


def _rows(bare: Bare, ours: Ours, again: Ours) -> Iterator[dict[str, Cell]]:
    yield {"who": "bare", "what": "read", "seconds": bare.read_seconds}
    yield {
        "who": "bare",
        "what": "fit",
        "seconds": bare.fit_seconds,
        "peak MB": bare.grown_bytes / MEGABYTE,
    }
    for who, run in (("recstream", ours), ("recstream again", again)):
        for stage, seconds in run.seconds_by_stage.items():
            peak = run.grown_bytes(stage) / MEGABYTE
            yield {"who": who, "what": stage, "seconds": seconds, "peak MB": peak}


def _side(on: Ground, settings: Settings, side: str, kind: type[Found], *more: str) -> Found:
    """Run one side as a child; return what it printed."""
    log = Path(on.group.folder) / f"{side}.log"
    with log.open("wb") as errors:
        ended = subprocess.run(
            [sys.executable, "-m", "ops.bench.train_sides", side, *more],
            env=child_environment(os.environ, settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            timeout=SIDE_SECONDS,
            check=False,
        )
    if ended.returncode:
        raise TransportError(f"the {side} side of the benchmark failed:\n{log.read_text()[-2000:]}")
    return msgspec.json.decode(ended.stdout.splitlines()[-1], type=kind)
