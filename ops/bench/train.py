"""``bench train``: a whole run against what it cannot do without, a bare read and a bare fit.

Knows the made-up interactions and the bars; :mod:`ops.bench.train_sides` is what runs in child
processes, each with a memory of its own. Must not know how a run learns.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
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
from ops.bench.train_sides import Fitted, Made, Ours, Read
from registry.errors import TransportError
from registry.ids import UserId
from registry.settings import Settings
from registry.topics import topics_of

TIME_BAR: Final = 1.3
MEMORY_BAR: Final = 2.0
"""The bare fit alone is beyond it: it holds the matrix, the transposed one and the factors."""

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

Found = TypeVar("Found", Ours, Read, Made, Fitted)
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
        say("the bare side: two reads, one fit")
        slow = _side(on, settings, Read, "read", "default")
        read = _side(on, settings, Read, "read", "own")
        made = _side(on, settings, Made, "matrix", str(sizes.interactions), str(on.group.folder))
        fitted = _side(on, settings, Fitted, "fit", str(on.group.folder))
        say("a whole run, from a registry that holds nothing")
        ours = _side(on, settings, Ours, "ours")
        say("a second run: its snapshot is held")
        again = _side(on, settings, Ours, "ours")
    whole, peak = ours.seconds, ours.grown_bytes
    least = read.seconds + fitted.seconds
    return Measured(
        parameters={
            "interactions": sent,
            "users": sizes.users,
            "items": sizes.items,
            "factors": FACTORS,
            "iterations": ITERATIONS,
            "threads": cores(),
            "CSR MB": made.matrix_bytes / MEGABYTE,
        },
        rows=[
            _row("bare", "read, client's defaults", slow.seconds, slow.cpu_seconds),
            _row("bare", "read", read.seconds, read.cpu_seconds),
            _row("bare", "fit", fitted.seconds, fitted.cpu_seconds, fitted.grown_bytes),
            *_rows("recstream", ours),
            *_rows("recstream again", again),
        ],
        bars=[
            at_most("times a bare read and a bare fit", whole / least, TIME_BAR),
            at_most("peak memory, times the CSR matrix", peak / made.matrix_bytes, MEMORY_BAR),
        ],
        notes=[
            f"The bare fit's own peak: {fitted.grown_bytes / made.matrix_bytes:.1f} times the CSR "
            "matrix, for it holds that, the transposed one and the factors. The run's peak is "
            f"{peak / fitted.grown_bytes:.1f} times the bare fit's, and before its first fit "
            f"{_before_the_fit(ours) / made.matrix_bytes:.1f} times the matrix. All are counted "
            "from after the imports.",
            "By processor time, which others on the machine disturb less: "
            f"{ours.cpu_seconds / (read.cpu_seconds + fitted.cpu_seconds):.2f} times a bare read "
            "and a bare fit.",
            "Beside a bare read with the client's defaults, which pause for a second again and "
            f"again: {whole / (slow.seconds + fitted.seconds):.2f} times.",
            "A run fits twice: on the older part, to be judged; then on all, to be published, from "
            "the first fit's factors and with fewer iterations.",
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


def _rows(who: str, run: Ours) -> Iterator[dict[str, Cell]]:
    for one in run.stages:
        yield _row(who, one.name, one.seconds, None, one.grown_bytes)
    yield _row(who, "all", run.seconds, run.cpu_seconds, run.grown_bytes)


def _before_the_fit(run: Ours) -> int:
    """Return the most memory up to the first fit."""
    return next(before.grown_bytes for before, stage in pairwise(run.stages) if stage.name == "fit")


def _row(
    who: str, what: str, seconds: float, cpu: float | None = None, grown_bytes: int | None = None
) -> dict[str, Cell]:
    return {
        "who": who,
        "what": what,
        "seconds": seconds,
        "cpu s": cpu,
        "peak MB": None if grown_bytes is None else grown_bytes / MEGABYTE,
    }


def _side(on: Ground, settings: Settings, kind: type[Found], side: str, *more: str) -> Found:
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
