"""What answering costs the processor, against a plain loop in the same run.

A ratio, and so for any machine, and beside others: processor time of one thread, in rounds that
alternate, the quickest of each. The bars are a third of what was measured: they are missed by what
makes answers several times as dear, and by no load.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from harness.builders import a_request_of, an_answering, some_rules
from threadpoolctl import threadpool_limits

from ops.bench.rig.synthetic import Shape, arrays_of
from registry.scoring.model_arrays import ModelArrays
from registry.versions.model import Model
from registry.wire.codec import decode, encode
from registry.wire.requests import Request
from registry.wire.responses import Item, Provenance, Response
from registry.wire.rollout_state import RolloutState
from streams.serving.answering import answer_batch
from tests.unit.registry.builders import a_manifest

ROUNDS = 9
PLAIN = 40
"""Requests of a round of the plain loop."""

SHAPE = Shape(users=2_000)


@pytest.fixture(scope="module")
def arrays() -> ModelArrays:
    return arrays_of(SHAPE, seed=1)


def plain_answers(records: Sequence[Any], arrays: ModelArrays) -> list[bytes]:
    """Answer one request after the other, as one would write it first."""
    answers = []
    for record in records:
        request = decode(Request, record.value)
        row = int(str(request.user_id)) - 1
        scores = arrays.item_factors @ arrays.user_factors[row]
        seen = arrays.seen_items[arrays.seen_indptr[row] : arrays.seen_indptr[row + 1]]
        scores[seen] = -np.inf
        best = np.argpartition(-scores, request.k)[: request.k]
        best = best[np.argsort(-scores[best])].tolist()
        items = [Item(arrays.item_ids[n], float(scores[n]), arrays.titles[n]) for n in best]
        made = Provenance("production", "w1")
        answers.append(encode(Response(request.request_id, request.user_id, "ok", made, items)))
    return answers


def quickest(*ways: Callable[[], object]) -> list[float]:
    """Return the least processor time that each took, in seconds."""
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for way, seconds in zip(ways, taken, strict=True):
            started = time.thread_time()
            way()
            seconds.append(time.thread_time() - started)
    return [min(seconds) for seconds in taken]


@pytest.mark.parametrize(("requests", "times"), [(1_000, 1.5), (1, 0.15)])
def test_an_answer_costs_a_fraction_of_a_plain_loop(
    arrays: ModelArrays, requests: int, times: float, figure: Callable[[str], None]
) -> None:
    version = a_manifest().version
    state = RolloutState("production", 1, "fixed", version)
    using = an_answering({version: Model(a_manifest(), arrays)}, some_rules(state, [version]))
    asked = [a_request_of(1 + n % SHAPE.users, f"r{n}") for n in range(max(requests, PLAIN))]

    def ours() -> None:
        for start in range(0, max(requests, PLAIN), requests):
            made = answer_batch(asked[start : start + requests], using)
            assert len(made.answers) == requests

    with threadpool_limits(1, "blas"):
        plain, mine = quickest(lambda: plain_answers(asked[:PLAIN], arrays), ours)
    plain, mine = plain / PLAIN * 1e6, mine / max(requests, PLAIN) * 1e6

    figure(f"{requests} at once: {mine:.1f} µs of processor an answer, plainly {plain:.1f}")
    assert plain / mine >= times
