"""``python -m ops.bench.fresh.outcome_cost``: what joining outcomes costs a worker's processor.

A worker answers a backlog during an A/B test, with ``RECSTREAM_OUTCOMES`` off and on; rounds
alternate, medians are compared. A tenth of the users has interactions.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Final

from ops.bench.fresh.fresh_cost import interactions
from ops.bench.rig import synthetic
from ops.bench.rig.ground import Ground, fresh_topics, ground, wait_until_ready, worker
from ops.bench.serve import answer_backlog
from ops.clients import kafka_client as client
from registry.kafka.topics import topics_of

BAR: Final = 1.15


def measure(on: Ground, requests: int, rounds: int) -> dict[str, list[float]]:
    """Return the processor's microseconds a request, of each round, without and with outcomes."""
    seen: dict[str, list[float]] = {"off": [], "on": []}
    for _ in range(rounds):
        for mode, microseconds in seen.items():
            microseconds.append(_one_round(on, requests, mode))
            print(f"outcomes {mode}: {microseconds[-1]:.1f} µs a request", flush=True)
    return seen


def _one_round(on: Ground, requests: int, mode: str) -> float:
    with fresh_topics(on, "outcomes", RECSTREAM_OUTCOMES=mode) as settings:
        first = synthetic.publish_model_before(settings, seed=1)
        second = synthetic.publish_model_before(settings, seed=2)
        chosen = settings.model_copy(update={"model_version": first})
        topics = topics_of(settings)
        with worker(on, chosen, "first") as (_, url):  # so that there is a rollout state
            wait_until_ready(on, url)
            fields = {"strategy": "ab_test", "canary_version": second}
            result = client.send_command(
                settings, client.new_command(settings, "rollout", **fields)
            )
            assert result.status == "applied", result
        client.produce_all(settings, topics.requests, synthetic.requests(requests))
        client.produce_all(settings, topics.interactions, interactions(requests // 10))
        window, seconds = answer_backlog(on, chosen, requests)
        assert seconds is not None  # it ran for long enough to be sampled
        return seconds * 1e6 / window.records


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratio; 1 if it misses the bar."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.fresh.outcome_cost")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    with ground() as on:
        seen = measure(on, chosen.requests, chosen.rounds)
    ratio = statistics.median(seen["on"]) / statistics.median(seen["off"])
    print(f"outcomes on against off: {ratio:.2f}x the CPU time (bar {BAR}x)")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
