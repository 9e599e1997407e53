"""A real worker process in which some versions are faulty: ``python faulty_worker.py FAULTS``.

`FAULTS` is a JSON object of a :class:`Fault` by version. Only
`registry.versions.model.Model.recommend` is wrapped, and only for those versions; everything else
is the worker as it is.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mmh3
import msgspec

from registry.ids import UserId
from registry.settings import read_settings
from registry.versions.model import Model
from registry.wire.requests import Request
from streams.worker import run_worker


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with a version.

    Parameters
    ----------
    failing
        Share of users, 0..1, whose scoring raises.
    times
        How many times as long as it needs each scoring call takes.
    """

    failing: float = 0.0
    times: float = 1.0


def faulty_arguments(faults: Mapping[str, Fault]) -> tuple[str, ...]:
    """Return what Python runs for a worker with `faults`; see `harness.workers.Worker`."""
    return str(Path(__file__)), msgspec.json.encode(faults).decode()


def fails(user_id: UserId, fault: Fault) -> bool:
    """Tell whether `user_id` is one that `fault` fails; independent of every rollout's buckets."""
    return mmh3.hash(f"fault:{user_id}", 0, False) % 10_000 < fault.failing * 10_000


def faulty(recommend: Callable[..., Any], faults: Mapping[str, Fault]) -> Callable[..., Any]:
    """Return `recommend` with `faults`; a model's warm-up is spared, or it would never be ready."""

    def wrapped(model: Model, requests: Sequence[Request], **options: Any) -> Any:
        fault = faults.get(model.version, Fault())
        for request in requests:
            if request.request_id != "warm" and fails(request.user_id, fault):
                raise RuntimeError(f"injected for user {request.user_id}")
        started = time.perf_counter()
        found = recommend(model, requests, **options)
        ends = started + fault.times * (time.perf_counter() - started)
        while time.perf_counter() < ends:
            pass  # as a slower model would: with the processor, not with a timer's accuracy
        return found

    return wrapped


def main() -> None:
    faults = msgspec.json.decode(sys.argv[1], type=dict[str, Fault])
    Model.recommend = faulty(Model.recommend, faults)
    run_worker(read_settings(os.environ))


if __name__ == "__main__":
    main()
