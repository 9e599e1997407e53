"""``bench train``: a whole run against its minimum, a bare read and a bare fit.

Knows the synthetic interactions and the bars; :mod:`ops.bench.sides.train_sides` is what runs in
child processes, each with a memory of its own. Must not know how a run learns.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import at_most
from ops.bench.rig.ground import Ground, child_environment, fresh_topics
from ops.bench.rig.machine import cores
from ops.bench.rig.made_up_interactions import MadeUpSizes, records
from ops.bench.sides.train_sides import Fitted, Made, Ours, Read
from ops.clients import kafka_client as client
from registry.errors import TransportError
from registry.kafka.topics import topics_of
from registry.settings import Settings

TIME_BAR: Final = 1.3
MEMORY_BAR: Final = 2.0
"""The bare fit alone is beyond it: it holds the matrix, the transposed one and the factors."""

INTERACTIONS: Final = 10_000_000
QUICK_INTERACTIONS: Final = 100_000
FACTORS: Final = 64
ITERATIONS: Final = 15
SIDE_SECONDS: Final = 3600.0
MEGABYTE: Final = 1024 * 1024

Found = TypeVar("Found", Ours, Read, Made, Fitted)


def measure(on: Ground, interactions: int, say: Callable[[str], None]) -> Measured:
    """Fill a topic, then learn from it in one child process, and read and fit it in another."""
    sizes = MadeUpSizes(interactions)
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
        say("a whole run, from an empty registry")
        ours = _side(on, settings, Ours, "ours")
        say("a second run: its snapshot is in the registry")
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
            f"matrix, because it holds the matrix, its transpose and the factors. The run's peak "
            f"is "
            f"{peak / fitted.grown_bytes:.1f} times the bare fit's, and before its first fit "
            f"{_before_the_fit(ours) / made.matrix_bytes:.1f} times the matrix. All are counted "
            "from after the imports.",
            "By CPU time, which depends less on other load: "
            f"{ours.cpu_seconds / (read.cpu_seconds + fitted.cpu_seconds):.2f} times a bare read "
            "and a bare fit.",
            "Against a bare read with the client's defaults, which pauses for a second "
            f"repeatedly: {whole / (slow.seconds + fitted.seconds):.2f} times.",
            "A run fits twice: on the older part, for the evaluation; then on all, for "
            "publication, from the first fit's factors and with fewer iterations.",
            f"The run ended {ours.status}.",
        ],
    )


def _rows(who: str, run: Ours) -> Iterator[dict[str, Cell]]:
    for stage in run.stages:
        yield _row(who, stage.name, stage.seconds, None, stage.grown_bytes)
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
            [sys.executable, "-m", "ops.bench.sides.train_sides", side, *more],
            env=child_environment(os.environ, settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            timeout=SIDE_SECONDS,
            check=False,
        )
    if ended.returncode:
        raise TransportError(f"the {side} side of the benchmark failed:\n{log.read_text()[-2000:]}")
    return msgspec.json.decode(ended.stdout.splitlines()[-1], type=kind)
