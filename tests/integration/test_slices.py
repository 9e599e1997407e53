"""Slices keep what Faust promises per record; each proof has a control that must fail it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, TopicPartition
from harness.client import Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.connection.client_config import client_config
from registry.settings import Settings

Start = Callable[..., Worker]

PROGRAM = """
import os, time
import streams.serving.pipeline as serving
import streams.kafka.slices as slices
from faust.transport.drivers.aiokafka import Consumer
from registry.settings import read_settings
from streams.worker import run_worker
{patch}
run_worker(read_settings(os.environ))
"""

ACKS_LAST_OFFSETS_ALONE = """
slices.SliceConsumer._new_offset = Consumer._new_offset
"""

NEVER_ACKNOWLEDGES_THE_MARKED = """
acknowledge = serving.Pipeline._acknowledge
def never(self, events):
    kept = [event for event in events if not any(b"never" in one.value for one in event.value)]
    acknowledge(self, kept)
serving.Pipeline._acknowledge = never
"""

COMMITS_THE_LAST_ACKNOWLEDGED = """
def settle(self):
    for message, records in self._slices:
        if message.acked:
            self.next_offset = message.offset + 1
    return self.next_offset
slices.Ledger.settle = settle
"""

SCORES_SLOWLY = """
answer_batch = serving.answer_batch
def slowly(records, using):
    time.sleep(0.2)
    return answer_batch(records, using)
serving.answer_batch = slowly
"""

COMMITS_SELDOM = """
import streams.app
streams.app.COMMIT_SECONDS = 60.0
"""

LOSES_ITS_PARTITIONS_IN_MID_SEEK = """
from aiokafka.errors import IllegalStateError
seek = slices.SliceConsumer.seek_to_committed
async def moved(self, times=[1]):
    if times and self.transport.app.rebalancing_count > 1:
        times.pop()
        raise IllegalStateError("a partition went to another worker")
    return await seek(self)
slices.SliceConsumer.seek_to_committed = moved
"""

READS_ACROSS_THE_SEEK = """
import asyncio, logging
logging.basicConfig(level=logging.INFO)
from streams.kafka.table_recovery import PromptRecovery
sought = asyncio.Event()
wait, seek = slices.SliceConsumer._wait_next_records, PromptRecovery._seek
look = PromptRecovery._look
async def behind(self):
    sought.clear()
    for table in self.tables.values():  # the owner's last write, which it has not read back
        await (await table.changelog_topic.send(key=b'"fleet:gone"', value=None))
    await look(self)
async def slowly(self, changelogs):
    await seek(self, changelogs)
    sought.set()
    await asyncio.sleep(1)
async def late(self, timeout):
    found = await wait(self, timeout)
    if not self.flow_active:  # a rebalance began: the broker answers this read after the seek
        await asyncio.wait([asyncio.ensure_future(sought.wait())], timeout=5)
        changelogs = [tp for tp in self.assignment() if self._is_changelog_tp(tp)]
        fetcher = self._thread._ensure_consumer()._fetcher
        await self._thread.call_thread(fetcher.fetched_records, changelogs, timeout=0.2)
    return found
PromptRecovery._look = behind
PromptRecovery._seek = slowly
slices.SliceConsumer._wait_next_records = late
"""

HANDS_NOTHING_OVER = """
async def nothing(self):
    pass
slices.SliceConsumer._hand_over = nothing
"""


@pytest.fixture
def fleet_settings(topics_created: Settings) -> Settings:
    publish_model(topics_created)
    return topics_created


def program(*patches: str) -> dict[str, tuple[str, str]]:
    return {"arguments": ("-c", PROGRAM.format(patch="\n".join(patches)))}


class Offsets:
    """Committed and end offsets of the request topic's partitions."""

    def __init__(self, client: Client) -> None:
        settings = client.settings
        self._consumer = Consumer(
            client_config(settings)
            | {"group.id": f"{settings.topic_prefix}-{settings.environment}"}
        )
        self._partitions = [
            TopicPartition(client.topics.requests.name, partition)
            for partition in range(settings.partitions)
        ]

    def committed(self) -> list[int]:
        found = self._consumer.committed(self._partitions, timeout=10)
        return [max(0, partition.offset) for partition in found]

    def ends(self) -> list[int]:
        return [
            self._consumer.get_watermark_offsets(partition, timeout=10)[1]
            for partition in self._partitions
        ]


def send_and_wait(client: Client, count: int, tag: str = "", user: int | None = None) -> None:
    tag = f"{tag}-{uuid.uuid4().hex[:6]}"
    ids = [f"{tag}-{number}" for number in range(count)]
    client.send(
        {"request_id": request_id, "user_id": number % 50 + 1 if user is None else user}
        for number, request_id in enumerate(ids)
    )
    client.wait_for(ids)


def everything_answered_is_committed(client: Client) -> None:
    for _ in range(5):
        send_and_wait(client, 200)
    offsets = Offsets(client)
    wait_until(lambda: offsets.committed() == offsets.ends(), 6, "everything to be committed")


def test_everything_that_was_answered_is_committed(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    start_worker(fleet_settings).wait_ready()
    everything_answered_is_committed(client)


def test_acknowledging_last_offsets_alone_does_not_commit_everything(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    start_worker(fleet_settings, **program(ACKS_LAST_OFFSETS_ALONE)).wait_ready()
    with pytest.raises(AssertionError, match="everything to be committed"):
        everything_answered_is_committed(client)


def nothing_is_committed_past_an_unacknowledged_slice(client: Client) -> None:
    """Slices of one partition: answered, answered but never acknowledged, answered."""
    send_and_wait(client, 20, user=1)
    offsets = Offsets(client)
    ends_before = offsets.ends()
    send_and_wait(client, 1, "never", user=1)
    ends_with = offsets.ends()
    (marked,) = [number for number in range(4) if ends_with[number] > ends_before[number]]
    send_and_wait(client, 20, user=1)
    # the next commit is observed on another partition, which nothing holds back
    other = next(user for user in range(2, 50) if partition_of(client, user) != marked)
    send_and_wait(client, 1, user=other)
    free = partition_of(client, other)
    wait_until(lambda: offsets.committed()[free] == offsets.ends()[free], 10, "a commit")
    assert offsets.committed()[marked] <= ends_before[marked]


def partition_of(client: Client, user: int) -> int:
    """Find out where the client's requests of `user` go, by sending one that nobody uses."""
    offsets = Offsets(client)
    before = offsets.ends()
    send_and_wait(client, 1, user=user)
    after = offsets.ends()
    return next(number for number in range(len(after)) if after[number] > before[number])


def test_nothing_is_committed_past_a_slice_that_was_not_acknowledged(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    worker = start_worker(fleet_settings, **program(NEVER_ACKNOWLEDGES_THE_MARKED)).wait_ready()
    nothing_is_committed_past_an_unacknowledged_slice(client)
    marked = [answer for answer in client.answers if answer.startswith("never")]
    worker.kill()
    start_worker(fleet_settings).wait_ready()
    wait_until(
        lambda: all(len(client.answers[request_id]) == 2 for request_id in marked),
        30,
        "an answer again",
    )


def test_committing_the_last_acknowledged_slice_would_lose_the_one_before(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    patches = program(NEVER_ACKNOWLEDGES_THE_MARKED, COMMITS_THE_LAST_ACKNOWLEDGED)
    start_worker(fleet_settings, **patches).wait_ready()
    with pytest.raises(AssertionError, match="assert"):
        nothing_is_committed_past_an_unacknowledged_slice(client)


def most_in_flight(client: Client, worker: Worker, backlog: int) -> int:
    """Return the most unacknowledged requests seen; commands must go on being decided."""
    ids = [f"b{number}" for number in range(backlog)]
    client.send({"request_id": request_id, "user_id": 1} for request_id in ids)
    most = 0
    while any(request_id not in client.answers for request_id in ids):
        seen = worker.fetch("/metrics").text
        most = max(most, int(float(seen.split("\nrequests_in_flight ")[1].split("\n")[0])))
        if most and worker.name not in client.results:
            started = time.monotonic()
            client.command(type="swap", model_version="v0.1")
            assert time.monotonic() - started < 2, "a backlog delayed a command"
            client.results[worker.name].append({})
    return most


BOUNDED = {"RECSTREAM_IN_FLIGHT_REQUESTS": "200", "RECSTREAM_BATCH_REQUESTS": "100"}
UNBOUNDED = {"RECSTREAM_IN_FLIGHT_REQUESTS": "1000000", "RECSTREAM_BATCH_REQUESTS": "100"}


def test_a_backlog_is_left_in_kafka_and_commands_overtake_it(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    worker = start_worker(fleet_settings, variables=BOUNDED, **program(SCORES_SLOWLY)).wait_ready()
    assert most_in_flight(client, worker, 2_000) <= 200 + 100


def test_without_back_pressure_a_backlog_piles_up_in_memory(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    worker = start_worker(fleet_settings, variables=UNBOUNDED, **program(SCORES_SLOWLY))
    worker.wait_ready()
    assert most_in_flight(client, worker, 2_000) > 200 + 100


def answered_twice_when_a_worker_joins(
    client: Client, settings: Settings, start_worker: Start, *patches: str
) -> int:
    patches = (COMMITS_SELDOM, *patches)  # so that only the hand-over commits
    start_worker(settings, **program(*patches)).wait_ready()
    ids = []
    second = None
    for number in range(300):
        batch = [f"j{number}-{place}" for place in range(20)]
        client.send(
            {"request_id": request_id, "user_id": user} for user, request_id in enumerate(batch, 1)
        )
        ids += batch
        time.sleep(0.02)
        if number == 50:
            second = start_worker(settings, **program(*patches))
    assert second is not None
    second.wait_ready()
    answers = client.wait_for(ids)
    return sum(len(several) - 1 for several in answers.values())


def test_a_worker_that_joins_makes_nothing_be_answered_twice(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    assert answered_twice_when_a_worker_joins(client, fleet_settings, start_worker) == 0


def test_without_the_hand_over_a_join_makes_answers_come_twice(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    twice = answered_twice_when_a_worker_joins(
        client, fleet_settings, start_worker, HANDS_NOTHING_OVER
    )
    assert twice > 0


def log_after_a_join(client: Client, settings: Settings, start_worker: Start, *patches: str) -> str:
    """Return the log of the table's owner, which another worker joined, once it serves again."""
    patched = start_worker(settings, **program(*patches)).wait_ready()
    start_worker(settings).wait_ready()
    patched.wait_ready(30)
    send_and_wait(client, 100)
    assert patched.process.poll() is None
    return patched.log.read_text()


def test_a_worker_survives_that_its_partitions_go_in_mid_seek(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    log_after_a_join(client, fleet_settings, start_worker, LOSES_ITS_PARTITIONS_IN_MID_SEEK)


def test_a_read_that_outlasts_a_rebalance_loses_nothing_of_the_changelog(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    log = log_after_a_join(client, fleet_settings, start_worker, READS_ACROSS_THE_SEEK)
    assert "reading the rest" not in log


def test_a_hole_in_the_offsets_does_not_stop_the_commits(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    """The end of a transaction takes an offset that no consumer ever sees."""
    from confluent_kafka import Producer

    worker = start_worker(fleet_settings).wait_ready()
    producer = Producer(
        client_config(fleet_settings) | {"transactional.id": uuid.uuid4().hex, "acks": "all"}
    )
    offsets = Offsets(client)
    before = sum(offsets.ends())
    producer.init_transactions(30)
    for number in range(3):
        producer.begin_transaction()
        request = {"request_id": f"t{number}", "user_id": 1}
        producer.produce(client.topics.requests.name, json.dumps(request), b"1")
        producer.commit_transaction(30)  # its marker takes an offset that is no record
    wait_until(lambda: sum(offsets.ends()) == before + 6, 10, "three records and their markers")
    send_and_wait(client, 20, user=1)
    client.wait_for([f"t{number}" for number in range(3)])
    wait_until(lambda: offsets.committed() == offsets.ends(), 6, "everything to be committed")
    assert worker.process.poll() is None
