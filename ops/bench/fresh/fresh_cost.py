"""``bench fresh``: what following the interactions costs, and how soon they count.

Four measures: taking interactions in; a worker that takes partitions over with a long log; how soon
an interaction is reflected under steady traffic; and what answers cost when a tenth of the users
has fresh interactions, against none. Knows the measures and the bars; must not know how a worker
follows.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np
from confluent_kafka import KafkaError, Message, Producer
from msgspec import Struct

from ops.bench.rig import synthetic
from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import at_most
from ops.bench.rig.ground import Ground, fresh_topics, wait_until, wait_until_ready, worker
from ops.bench.rig.steady_traffic import drive
from ops.bench.serve import answer_backlog
from ops.clients import kafka_client as client
from ops.clients import worker_pages as pages
from registry.connection.client_config import client_config
from registry.ids import UserId
from registry.kafka.topic_reader import reading
from registry.kafka.topics import topics_of
from registry.settings import Settings
from streams.fresh.interaction_follower import InteractionFollower

MEASURED: Final = "one worker that follows the interactions of its users"
PARTITIONS: Final = 4
TAKEOVER_SECONDS: Final = 180.0
PER_SECOND: Final = 1_000

MICROSECONDS_BAR: Final = 4.0
MEGABYTES_BAR: Final = 100.0
TAKEOVER_BAR: Final = 20.0
REFLECTED_BAR: Final = 1_000.0
COST_BAR: Final = 1.25

FRESH_SHARE: Final = 10
"""One user in so many has fresh interactions, `FRESH_EACH` of them."""
FRESH_EACH: Final = 20


@dataclass(frozen=True, slots=True)
class FreshSizes:
    """How much is followed, how long traffic lasts, and how many requests are compared."""

    taken: int = 1_000_000
    in_each_partition: int = 1_000_000
    seconds: float = 20.0
    requests: int = 100_000
    rounds: int = 3


QUICK: Final = FreshSizes(100_000, 50_000, 5.0, 30_000, 1)


class _SeenOffsets(Struct):
    fresh_offsets: dict[str, int] = {}


class _Answered(Struct):
    provenance: _SeenOffsets


_decode = msgspec.json.Decoder(_Answered).decode


def measure(on: Ground, sizes: FreshSizes, report: Callable[[str], None]) -> Measured:
    """Measure all four."""
    rows: list[dict[str, Cell]] = []

    def note(what: str, seen: float, unit: str) -> float:
        rows.append({"what": what, "seen": round(seen, 3), "unit": unit})
        report(f"{what}: {seen:,.3g} {unit}")
        return seen

    microseconds, size = _take_in(on, sizes.taken)
    note("taking an interaction in, processor", microseconds, "µs")
    megabytes = note("memory of 1M interactions", size / sizes.taken, "MB")
    seconds = note(
        f"caught up on {PARTITIONS} × {sizes.in_each_partition:,}", _take_over(on, sizes), "s"
    )
    reflected = _reflect(on, sizes.seconds)
    note("reflected, median", reflected.median_ms, "ms")
    p99 = note("reflected, p99", reflected.p99_ms, "ms")
    note("a request's answer meanwhile, p99", reflected.answered_p99_ms, "ms")
    ratio = note("processor of an answer, a tenth fresh against none", _compare(on, sizes), "x")
    return Measured(
        parameters={
            "events": "watch, with a timestamp; ten of each user taken in; 10,000 items",
            "traffic": f"{PER_SECOND} interactions/s beside {PER_SECOND} requests/s",
            "rounds": sizes.rounds,
        },
        rows=rows,
        bars=[
            at_most("µs an interaction", microseconds, MICROSECONDS_BAR),
            at_most("MB for 1M interactions", megabytes, MEGABYTES_BAR),
            at_most("s to catch up", seconds, TAKEOVER_BAR),
            at_most("ms until reflected, p99", p99, REFLECTED_BAR),
            at_most("times the CPU time of none fresh", ratio, COST_BAR),
        ],
        notes=[
            "Taking in: this process's CPU time, Kafka's client included. Reflected: from an "
            "interaction's time to the first answer, by its own time, that has seen it; where "
            "requests wait for their answers, that is among it."
        ],
    )


def interactions(count: int, users: int = 100_000, seed: int = 0) -> Iterator[tuple[UserId, bytes]]:
    """Yield `count` interactions, as (key, record)."""
    random = np.random.default_rng(seed)
    who = random.integers(1, users + 1, count).tolist()
    what = random.integers(1, synthetic.ITEMS + 1, count).tolist()
    for user, item in zip(who, what, strict=True):
        yield user, _interaction(user, item)


def _interaction(user: int, item: int) -> bytes:
    return b'{"user_id":%d,"item_id":%d,"event":"watch","timestamp":1750000000.5}' % (user, item)


def _take_in(on: Ground, count: int) -> tuple[float, int]:
    """Return the processor's microseconds an interaction, and the bytes of all of them."""
    with fresh_topics(on, "fresh", RECSTREAM_PARTITIONS=str(PARTITIONS)) as settings:
        topic = topics_of(settings).interactions
        client.produce_all(settings, topic, interactions(count, count // 10))
        follower = InteractionFollower(settings, topic)
        started = time.process_time()
        follower.follow(dict.fromkeys(range(PARTITIONS), 0))
        follower.start()
        wait_until(on, lambda: follower.records >= count, "interactions", TAKEOVER_SECONDS)
        seconds = time.process_time() - started
        follower.stop()
        return seconds * 1e6 / count, follower.size_bytes


def _take_over(on: Ground, sizes: FreshSizes) -> float:
    """Return the seconds from when a worker is ready until it has read a long log."""
    with fresh_topics(on, "fresh", RECSTREAM_PARTITIONS=str(PARTITIONS)) as settings:
        topic = topics_of(settings).interactions
        count = PARTITIONS * sizes.in_each_partition
        client.produce_all(settings, topic, interactions(count))
        version = synthetic.publish_model_before(settings, seed=1)
        chosen = settings.model_copy(update={"model_version": version})
        with worker(on, chosen) as (_, url):
            wait_until_ready(on, url)
            started = time.monotonic()
            wait_until(
                on, lambda: _has_read(url, count), "the worker to catch up", TAKEOVER_SECONDS
            )
            return time.monotonic() - started


def _has_read(url: str, count: int) -> bool:
    return (pages.metric(url, "fresh_interactions") or 0.0) >= count


class _Reflected(NamedTuple):
    """Milliseconds of an interaction's way into answers, and of the answers' own way."""

    median_ms: float
    p99_ms: float
    answered_p99_ms: float


def _reflect(on: Ground, seconds: float) -> _Reflected:
    """Return how soon interactions are in answers, and how late answers are."""
    with fresh_topics(on, "fresh") as settings:
        version = synthetic.publish_model_before(settings, seed=1)
        chosen = settings.model_copy(update={"model_version": version})
        with worker(on, chosen) as (_, url):
            wait_until_ready(on, url)
            drive(settings, PER_SECOND, 2.0)  # warm
            with reading(settings, topics_of(settings).responses) as consumer:
                sender = _Watchers(settings, round(PER_SECOND * seconds))
                sender.start()
                traffic = drive(settings, PER_SECOND, seconds + 2.0)
                sender.join()
                answers: list[Message] = []
                while batch := consumer.consume(10_000, 2.0):
                    answers += (answer for answer in batch if answer.error() is None)
        waits = _waits(sender.stamped, answers)
        p50, p99 = np.quantile(waits, [0.5, 0.99]).tolist()
        return _Reflected(p50, p99, float(np.quantile(traffic.stamped_ms, 0.99)))


def _waits(stamped: Sequence[tuple[int, int, int]], answers: Sequence[Message]) -> list[float]:
    """Return how long each interaction took to be seen.

    Parameters
    ----------
    stamped
        Partition, offset and timestamp in milliseconds of each interaction.
    answers
        In the order of each partition.
    """
    seen: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for answer in answers:
        for name, end in _decode(answer.value() or b"").provenance.fresh_offsets.items():
            seen[int(name)].append((answer.timestamp()[1], end))
    by_partition = {number: sorted(pairs) for number, pairs in seen.items()}
    waits = []
    for number, offset, at in stamped:
        times, ends = zip(*by_partition[number], strict=True)
        place = int(np.searchsorted(np.maximum.accumulate(ends), offset + 1))
        if place < len(times):
            waits.append(float(max(0, times[place] - at)))
    return waits


class _Watchers(threading.Thread):
    """Users who watch something, at a steady rate; ``stamped`` has where and when."""

    def __init__(self, settings: Settings, count: int) -> None:
        super().__init__(name="watchers", daemon=True)
        self._topic = topics_of(settings).interactions.name
        self._records = list(interactions(count, synthetic.USERS))
        self._producer = Producer(client_config(settings) | client.AS_JAVA | {"linger.ms": 0})
        self.stamped: list[tuple[int, int, int]] = []

    def run(self) -> None:
        """Send them all."""
        began = time.monotonic()
        for number, (user, value) in enumerate(self._records):
            early = began + number / PER_SECOND - time.monotonic()
            if early > 0:
                time.sleep(early)
            self._producer.produce(self._topic, value, str(user), on_delivery=self._note)
            self._producer.poll(0)
        self._producer.flush(30)

    def _note(self, error: KafkaError | None, message: Message) -> None:
        number, offset = message.partition(), message.offset()
        if error is None and number is not None and offset is not None:
            self.stamped.append((number, offset, message.timestamp()[1]))


def _compare(on: Ground, sizes: FreshSizes) -> float:
    """Return the CPU time of a request with a tenth of the users fresh, against none."""
    microseconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(sizes.rounds):
        for some in (False, True):
            with fresh_topics(on, "fresh") as settings:
                version = synthetic.publish_model_before(settings, seed=1)
                chosen = settings.model_copy(update={"model_version": version})
                topics = topics_of(settings)
                with worker(on, chosen, "first") as (_, url):  # so that there is a rollout state
                    wait_until_ready(on, url)
                if some:
                    client.produce_all(settings, topics.interactions, _of_a_tenth())
                client.produce_all(settings, topics.requests, synthetic.requests(sizes.requests))
                window, seconds = answer_backlog(on, chosen, sizes.requests)
                assert seconds is not None  # it ran for long enough to be sampled
                microseconds[some].append(seconds * 1e6 / window.records)
    return statistics.median(microseconds[True]) / statistics.median(microseconds[False])


def _of_a_tenth() -> Iterator[tuple[UserId, bytes]]:
    random = np.random.default_rng(0)
    for user in range(FRESH_SHARE, synthetic.USERS + 1, FRESH_SHARE):
        for item in random.integers(1, synthetic.ITEMS + 1, FRESH_EACH).tolist():
            yield user, _interaction(user, item)
