"""Shadow: every answer offered is compared once or dropped and counted, and none waits for it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from harness.builders import a_request_of, an_answering, some_rules

from registry.answers.recommendation import Recommendation
from registry.errors import TransportError
from registry.guardrails.histogram import bucket_counts
from registry.guardrails.overlap import compare
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.versions.model import Model
from registry.wire.codec import decode
from registry.wire.counts import ShadowCounts
from registry.wire.requests import Request
from registry.wire.shadow_comparisons import ShadowComparison
from streams.comparing.shadow import CHUNK_ITEMS, CHUNK_REQUESTS, NICENESS, REST_RATIO, Shadow
from streams.delivery.outgoing import Outgoing
from streams.metrics import Metrics
from streams.serving.answering import answer_batch
from streams.serving.batch_results import Origin, Shadowed
from tests.unit.registry.builders import a_request, a_state

EPOCH = 7
VERSIONS = ("v0.1", "v0.2")


class Sent:
    """Stands in for Kafka: takes every record, or none."""

    def __init__(self, in_reach: bool = True) -> None:
        self.in_reach = in_reach
        self.records: list[Outgoing] = []
        self._loop = asyncio.get_running_loop()

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        self.records += records
        future: asyncio.Future[None] = self._loop.create_future()
        if self.in_reach:
            self._loop.call_soon_threadsafe(future.set_result, None)
        else:
            error = TransportError("Kafka did not accept a record: timed out")
            self._loop.call_soon_threadsafe(future.set_exception, error)
        return future

    def comparisons(self) -> list[ShadowComparison]:
        return [decode(ShadowComparison, record.value) for record in self.records]


class Candidate(Model):
    """A version on trial; cannot score `poison`, nor a chunk with it."""

    def __init__(self, model: Model, poison: Any = None) -> None:
        vars(self).update(vars(model))
        self.calls: list[list[Any]] = []
        self.spans: list[tuple[float, float]] = []
        self.niceness: list[int] = []
        self.threads: set[str] = set()
        self._poison = poison

    def recommend(
        self, requests: Sequence[Request], *, threads: int = 1, fresh: Any = ()
    ) -> list[Recommendation]:
        self.calls.append([request.user_id for request in requests])
        started = time.perf_counter()
        if sys.platform == "linux":
            self.niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        self.threads.add(threading.current_thread().name)
        if self._poison in self.calls[-1]:
            raise ZeroDivisionError("a bug")
        found = super().recommend(requests, threads=threads, fresh=fresh)
        self.spans.append((started, time.perf_counter()))
        return found


class Bench:
    """A shadow with its surroundings, and what can be seen of it."""

    def __init__(
        self, models: Mapping[str, Model], queue_size: int = 1000, in_reach: bool = True
    ) -> None:
        self.sent = Sent(in_reach)
        self.metrics = Metrics()
        self.models = dict(models)
        self.busy = False
        self.looks = 0
        self.shadow = Shadow(
            topics_of(Settings()),
            self.sent,  # type: ignore[arg-type]
            self.metrics,
            lambda: self.models,
            self._is_busy,
            Origin("production", "w1"),
            queue_size,
        )

    def _is_busy(self) -> bool:
        self.looks += 1
        return self.busy

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def dropped(self, reason: str) -> float:
        return self.metric("shadow_dropped_total", reason=reason)

    @property
    def counts(self) -> ShadowCounts:
        found = self.shadow.counts_at(EPOCH)
        assert found is not None
        return found

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not seen():
                await asyncio.sleep(0.0005)  # the other thread needs the interpreter

    async def until_compared(self, count: int) -> None:
        await self.until(lambda: self.counts.compared + self.counts.failed >= count)


@asynccontextmanager
async def a_bench(models: Mapping[str, Model], **given: Any) -> Any:
    bench = Bench(models, **given)
    running = asyncio.create_task(bench.shadow.run())
    try:
        yield bench
        assert not running.done(), "nothing that is offered ends the task"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        bench.shadow.stop()


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def samples(
    models: Mapping[str, Model], users: Iterable[Any], epoch: int = EPOCH, **request: Any
) -> list[Shadowed]:
    """Answer `users` with v0.1, as they are put in shadow of v0.2."""
    asked = [a_request(user, **request) for user in users]
    answers = models["v0.1"].recommend(asked)
    return [
        Shadowed(b"key", each, answer.items, epoch, *VERSIONS, 0.004)
        for each, answer in zip(asked, answers, strict=True)
    ]


def test_a_comparison_tells_both_versions_their_agreement_and_where_it_comes_from(
    models: Mapping[str, Model],
) -> None:
    async def story() -> None:
        async with a_bench(models) as bench:
            bench.shadow.offer(samples(models, [3], k=4))
            await bench.until_compared(1)
            (record,) = bench.sent.records
            (seen,) = bench.sent.comparisons()
        assert (record.topic, record.key) == ("reco.shadow", b"key")
        primary, canary = (
            models[version].recommend([a_request(3, k=4)])[0].items for version in VERSIONS
        )
        agreement = (seen.overlap, seen.rank_biased_overlap, seen.score_shift)
        assert agreement == compare(primary, canary)
        assert (seen.request_id, seen.user_id, seen.k) == ("r1", 3, 4)
        assert (seen.primary_version, seen.canary_version) == VERSIONS
        assert (seen.environment, seen.worker, seen.rollout_epoch) == ("production", "w1", EPOCH)
        assert seen.primary_ms == 4.0
        assert seen.canary_ms > 0

    run(story())


def test_what_a_batch_puts_in_shadow_is_compared(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        state = a_state(strategy="shadow", canary_version="v0.2")
        using = an_answering(models, some_rules(state, models))
        async with a_bench(models) as bench:
            bench.shadow.offer(answer_batch([a_request_of(1), a_request_of(2)], using).shadowed)
            await bench.until_compared(2)
            assert [record.key for record in bench.sent.records] == [b"1", b"2"]

    run(story())


def test_the_comparisons_of_an_epoch_add_up(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        async with a_bench(models) as bench:
            bench.shadow.offer(samples(models, [1, 2, 3]))
            bench.shadow.offer(samples(models, [4, 5]))
            await bench.until_compared(5)
            counts, seen = bench.counts, bench.sent.comparisons()
        assert (counts.compared, counts.dropped, counts.failed) == (5, 0, 0)
        assert counts.overlap == pytest.approx(sum(comparison.overlap for comparison in seen))
        assert counts.rank_biased_overlap == pytest.approx(
            sum(comparison.rank_biased_overlap for comparison in seen)
        )
        assert counts.score_shift == pytest.approx(
            sum(comparison.score_shift for comparison in seen)
        )
        assert counts.primary == bucket_counts(np.full(5, 0.004))
        assert sum(counts.canary.values()) == 5

    run(story())


def test_metrics_tell_what_was_compared_and_how_it_agreed(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        async with a_bench(models) as bench:
            bench.shadow.offer(samples(models, [1, 2, 3]))
            await bench.until_compared(3)
            versions = dict(zip(("primary_version", "canary_version"), VERSIONS, strict=True))
            assert bench.metric("shadow_comparisons_total", **versions) == 3
            assert bench.metric("shadow_overlap_count", **versions) == 3
            assert bench.metric("shadow_overlap_sum", **versions) == bench.counts.overlap
            assert bench.metric("shadow_rank_biased_overlap_count", **versions) == 3
            assert bench.metric("shadow_scoring_seconds_count", model_version="v0.2") == 3

    run(story())


def test_scoring_is_in_a_thread_of_its_own_that_yields_to_all_others(
    models: Mapping[str, Model],
) -> None:
    async def story() -> None:
        candidate = Candidate(models["v0.2"])
        before = os.getpriority(os.PRIO_PROCESS, 0)
        async with a_bench({**models, "v0.2": candidate}) as bench:
            bench.shadow.offer(samples(models, [1]))
            await bench.until_compared(1)
        assert candidate.threads == {"shadow_0"}
        if sys.platform == "linux":
            assert candidate.niceness == [min(before + NICENESS, 19)]
            assert os.getpriority(os.PRIO_PROCESS, 0) == before, "the answers' threads do not"

    run(story())


def test_nothing_is_scored_while_a_batch_is_being_answered(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        candidate = Candidate(models["v0.2"])
        async with a_bench({**models, "v0.2": candidate}) as bench:
            bench.busy = True
            bench.shadow.offer(samples(models, [1, 2]))
            await bench.until(lambda: bench.looks >= 2)
            assert (candidate.calls, bench.metric("shadow_queue")) == ([], 2)
            bench.busy = False
            await bench.until_compared(2)
            assert (candidate.calls, bench.metric("shadow_queue")) == ([[1, 2]], 0)

    run(story())


def test_while_nothing_is_offered_nobody_looks(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        async with a_bench(models) as bench:
            bench.shadow.offer([])
            bench.shadow.offer(samples(models, [1]))
            await bench.until_compared(1)
            looks = bench.looks
            for _ in range(100):
                await asyncio.sleep(0)
            assert bench.looks == looks == 1

    run(story())


def test_chunks_are_small_and_in_order(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        candidate = Candidate(models["v0.2"])
        users = [1, 2, 3, 4, 5] * 4
        async with a_bench({**models, "v0.2": candidate}) as bench:
            bench.shadow.offer(samples(models, users))
            await bench.until_compared(20)
        assert [len(call) for call in candidate.calls] == [CHUNK_REQUESTS, CHUNK_REQUESTS, 4]
        assert [user for call in candidate.calls for user in call] == users

    run(story())


def test_a_chunk_of_long_answers_is_smaller(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        candidate = Candidate(models["v0.2"])
        async with a_bench({**models, "v0.2": candidate}) as bench:
            bench.shadow.offer(samples(models, [1, 2, 3], k=CHUNK_ITEMS // 2))
            bench.shadow.offer(samples(models, [4, 5], k=CHUNK_ITEMS))
            await bench.until_compared(5)
        assert candidate.calls == [[1, 2], [3], [4], [5]]

    run(story())


def test_after_a_chunk_it_rests_for_longer_than_the_chunk_took(
    models: Mapping[str, Model],
) -> None:
    async def story() -> None:
        candidate = Candidate(models["v0.2"])
        async with a_bench({**models, "v0.2": candidate}) as bench:
            bench.shadow.offer(samples(models, [1, 2, 3, 4, 5] * 4))
            await bench.until_compared(20)
        for (started, ended), (next_started, _) in itertools.pairwise(candidate.spans):
            assert next_started - ended >= REST_RATIO * (ended - started)

    run(story())


def test_what_does_not_fit_is_dropped_and_counted(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        async with a_bench(models, queue_size=3) as bench:
            bench.busy = True
            bench.shadow.offer(samples(models, [1, 2]))
            bench.shadow.offer(samples(models, [3, 4, 5]))
            bench.shadow.offer(samples(models, [1]))
            assert bench.metric("shadow_queue") == 3
            assert (bench.dropped("queue_full"), bench.counts.dropped) == (3, 3)
            bench.busy = False
            await bench.until_compared(3)
            assert [comparison.user_id for comparison in bench.sent.comparisons()] == [1, 2, 3]

    run(story())


def test_a_version_that_is_not_in_memory_is_dropped_and_counted(
    models: Mapping[str, Model],
) -> None:
    async def story() -> None:
        async with a_bench({"v0.1": models["v0.1"]}) as bench:
            bench.shadow.offer(samples(models, [1, 2]))
            assert bench.metric("shadow_queue") == 0
            assert (bench.dropped("version_not_ready"), bench.counts.dropped) == (2, 2)

    run(story())


def test_a_version_that_went_meanwhile_is_dropped_and_counted(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        async with a_bench(models) as bench:
            bench.shadow.offer(samples(models, [1, 2]))
            del bench.models["v0.2"]
            await bench.until(lambda: bench.dropped("version_not_ready") == 2)
            assert (bench.counts.dropped, bench.sent.records) == (2, [])

    run(story())


def test_a_new_epoch_begins_at_nought_and_drops_what_waits_of_the_last(
    models: Mapping[str, Model],
) -> None:
    async def story() -> None:
        async with a_bench(models) as bench:
            bench.busy = True
            bench.shadow.offer(samples(models, [1, 2]))
            bench.shadow.offer(samples(models, [3], epoch=EPOCH + 1))
            assert (bench.dropped("old_epoch"), bench.metric("shadow_queue")) == (2, 1)
            assert bench.shadow.counts_at(EPOCH) is None
            assert bench.shadow.counts_at(EPOCH + 1) == ShadowCounts()

    run(story())


def test_a_batch_of_an_older_epoch_is_dropped_and_counted(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        async with a_bench(models) as bench:
            bench.busy = True
            bench.shadow.offer(samples(models, [1]))
            bench.shadow.offer(samples(models, [2, 3], epoch=EPOCH - 1))
            assert (bench.dropped("old_epoch"), bench.metric("shadow_queue")) == (2, 1)
            assert bench.counts == ShadowCounts()

    run(story())


def test_a_chunk_that_ends_in_the_next_epoch_counts_in_none(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        gate = threading.Event()

        class Slow(Candidate):
            def recommend(
                self, requests: Any, *, threads: int = 1, fresh: Any = ()
            ) -> list[Recommendation]:
                found = super().recommend(requests, threads=threads, fresh=fresh)
                assert gate.wait(60)
                return found

        slow = Slow(models["v0.2"])
        async with a_bench({**models, "v0.2": slow}) as bench:
            bench.shadow.offer(samples(models, [1]))
            await bench.until(lambda: slow.calls == [[1]])
            bench.busy = True
            bench.shadow.offer(samples(models, [2], epoch=EPOCH + 1))
            gate.set()
            await bench.until(lambda: bench.metric("shadow_scoring_seconds_count",
                                                   model_version="v0.2") == 1)  # fmt: skip
            assert bench.shadow.counts_at(EPOCH + 1) == ShadowCounts()
            assert [comparison.rollout_epoch for comparison in bench.sent.comparisons()] == [EPOCH]

    run(story())


def test_before_anything_is_offered_there_are_no_counts(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        async with a_bench(models) as bench:
            assert bench.shadow.counts_at(EPOCH) is None

    run(story())


def test_a_bug_in_the_version_on_trial_costs_one_comparison(
    models: Mapping[str, Model], caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        candidate = Candidate(models["v0.2"], poison=2)
        async with a_bench({**models, "v0.2": candidate}) as bench:
            bench.shadow.offer(samples(models, [1, 2, 3]))
            bench.shadow.offer(samples(models, [2]))
            await bench.until_compared(4)
            assert (bench.counts.compared, bench.counts.failed) == (2, 2)
            assert [comparison.user_id for comparison in bench.sent.comparisons()] == [1, 3]
            assert bench.metric("shadow_failures_total", reason="scoring") == 2

    with caplog.at_level(logging.WARNING):
        run(story())
    assert caplog.messages == ["v0.2 could not be compared: ZeroDivisionError('a bug')"]


def test_a_version_that_always_fails_is_told_once_an_epoch(
    models: Mapping[str, Model], caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with a_bench({**models, "v0.2": Candidate(models["v0.2"], poison=1)}) as bench:
            for failed in (1, 2, 3):
                bench.shadow.offer(samples(models, [1]))
                await bench.until_compared(failed)

    with caplog.at_level(logging.WARNING):
        run(story())
    assert len(caplog.messages) == 1


def test_a_kafka_out_of_reach_is_counted_and_ends_nothing(models: Mapping[str, Model]) -> None:
    async def story() -> None:
        async with a_bench(models, in_reach=False) as bench:
            bench.shadow.offer(samples(models, [1, 2]))
            await bench.until(lambda: bench.metric("shadow_failures_total", reason="delivery") == 2)
            assert bench.counts.compared == 2

    run(story())


def test_a_bug_beside_the_scoring_is_counted_and_ends_nothing(
    models: Mapping[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("a bug")

    async def story() -> None:
        async with a_bench(models) as bench:
            monkeypatch.setattr(bench.sent, "send", fail)
            bench.shadow.offer(samples(models, [1, 2]))
            await bench.until_compared(2)
            assert (bench.counts.compared, bench.counts.failed) == (0, 2)

    run(story())
