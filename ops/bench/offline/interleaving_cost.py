"""``python -m ops.bench.offline.interleaving_cost``: what scoring each request twice costs.

Needs no Kafka. Answers the same batches under ``fixed`` and under ``interleave``, in turns, and
prints the CPU time a request: decoding, scoring, mixing and encoding, without Kafka's part.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from statistics import median
from types import SimpleNamespace
from typing import Final, cast

import numpy as np

from ops.bench.rig import synthetic
from ops.views import terminal
from registry.versions.model import Model
from registry.versions.store import Store
from registry.wire.codec import encode
from registry.wire.field_types import Strategy
from registry.wire.requests import Request
from registry.wire.rollout_state import RolloutState
from streams.raw_record import RawRecord
from streams.serving.answering import Answering, answer_batch
from streams.serving.batch_results import Origin
from streams.serving.routing import RoutingRules

BATCHES: Final = (1, 8, 64)
"""Requests that a worker answers together: at little traffic, at some, at much."""

TURNS: Final = 15
REQUESTS_A_TURN: Final = 512


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        shape = synthetic.Shape()
        store = Store(folder)
        for seed in (1, 2):
            store.publish(synthetic.arrays_of(shape, seed), synthetic.description_of(shape, seed))
        models = {version: store.open(version) for version in store.versions()}
        rows = []
        for size in BATCHES:
            fixed, mixed = _microseconds(models, size)
            rows.append((size, f"{fixed:.0f}", f"{mixed:.0f}", f"{mixed / fixed:.2f}"))
    terminal.out.print(
        terminal.grid(("batch #", "fixed, µs a request #", "interleave #", "times #"), rows)
    )


def _microseconds(models: dict[str, Model], size: int) -> tuple[float, float]:
    """Return the CPU time a request under ``fixed`` and ``interleave``: medians of turns."""
    strategies: tuple[Strategy, ...] = ("fixed", "interleave")
    spent: dict[Strategy, list[float]] = {strategy: [] for strategy in strategies}
    users = np.random.default_rng(15).integers(1, synthetic.USERS, REQUESTS_A_TURN)
    records = [_record(number, int(user)) for number, user in enumerate(users)]
    for _ in range(TURNS + 1):
        for strategy in strategies:
            using = _answering(models, strategy)
            started = time.process_time()
            for begin in range(0, len(records), size):
                answer_batch(records[begin : begin + size], using)
            spent[strategy].append((time.process_time() - started) / len(records) * 1e6)
    fixed, mixed = (median(spent[strategy][1:]) for strategy in strategies)  # without the warm-up
    return fixed, mixed


def _answering(models: dict[str, Model], strategy: Strategy) -> Answering:
    primary, canary = sorted(models)
    state = RolloutState("production", 1, strategy, primary, canary)
    rules = RoutingRules(state, state, models, lease_holds=True)
    origin = Origin("production", "bench")
    return Answering(origin, rules, models, 100_000, 1, lambda: 0.0, time.perf_counter)


def _record(number: int, user: int) -> RawRecord:
    value = encode(Request(f"request-{number}", user, k=synthetic.K))
    fields = {
        "topic": "", "partition": 0, "offset": number, "timestamp": 0, "key": b"", "value": value,
        "headers": cast("Sequence[tuple[str, bytes | None]]", ()),
    }  # fmt: skip
    return cast("RawRecord", SimpleNamespace(**fields))


if __name__ == "__main__":
    main()
