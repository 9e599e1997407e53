"""What recovery makes of a changelog's records, and when it believes that it has seen the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP
from faust.types.events import EventT

from streams.kafka import table_recovery as recovery_module
from streams.kafka.faust_workarounds import ROLLOUT_TABLE_OPTIONS, FolderlessApp
from streams.kafka.table_recovery import PromptRecovery, PromptTableManager


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


class Record(SimpleNamespace):
    """What aiokafka brings."""


def a_record(offset: int, key: bytes, value: bytes | None) -> Record:
    return Record(offset=offset, key=key, value=value, headers=())


class Consumer:
    """A changelog whose records are brought when somebody seeks to them, some of them never."""

    def __init__(self, records: list[Record], end: int) -> None:
        self.records, self.end = records, end
        self.sought: list[int] = []
        self.flow_active = True
        self.recovery: Any = None

    async def seek_wait(self, offsets: Mapping[TP, int]) -> None:
        for tp, offset in offsets.items():
            self.sought.append(offset)
            run = [record for record in self.records if record.offset >= offset]
            if run:
                asyncio.get_running_loop().create_task(self.recovery.take(tp, run))

    async def position_between_reads(self, tp: TP) -> int:
        return self.end

    def resume_partitions(self, partitions: set[TP]) -> None:
        pass

    def _to_message(self, tp: TP, record: Record) -> Any:
        given = record.offset, 0.0, 0, record.headers, record.key, record.value, None
        return faust.types.Message(tp.topic, tp.partition, *given)


class Fetcher:
    async def maybe_start(self) -> None:
        pass


class Changelog:
    """A recovery service with one table, and what that table's hook has seen."""

    def __init__(self, records: list[Record], end: int) -> None:
        self.seen: list[tuple[Any, Any]] = []
        app: Any = FolderlessApp(
            "reco", broker="kafka://", store="memory://", TableManager=PromptTableManager
        )
        self.table = app.GlobalTable(
            "rollout", on_changelog_event=self._see, **ROLLOUT_TABLE_OPTIONS
        )
        self.tp = TP(self.table.changelog_topic.get_topic_name(), 0)
        self.consumer = app.consumer = Consumer(records, end)
        app._fetcher = Fetcher()
        self.recovery: Any = app.tables.recovery
        self.consumer.recovery = self.recovery
        self.recovery.add_active(self.table, self.tp)
        self.recovery.active_highwaters[self.tp] = end - 1
        self.recovery.active_offsets[self.tp] = -1

    async def _see(self, event: EventT[Any]) -> None:
        self.seen.append((event.key, event.value))

    @property
    def offset(self) -> int:
        return int(self.recovery.active_offsets[self.tp])


def three_of_two_keys() -> list[Record]:
    return [
        a_record(0, b'"log"', b'{"n":0}'),
        a_record(1, b'"training"', b'{"n":1}'),
        a_record(2, b'"log"', b'{"n":2}'),
    ]


@on_a_loop
async def test_while_catching_up_each_record_counts_as_the_last_need_not_be_the_newest() -> None:
    log = Changelog(three_of_two_keys(), 3)
    log.recovery.in_recovery = True
    await log.recovery.take(log.tp, three_of_two_keys())
    assert [value["n"] for _, value in log.seen] == [0, 1, 2]
    assert dict(log.table.items()) == {"training": {"n": 1}, "log": {"n": 2}}
    assert log.offset == 2


@on_a_loop
async def test_of_a_long_run_the_latest_of_each_key_counts() -> None:
    run = [a_record(number, b'"log"', b'{"n":%d}' % number) for number in range(101)]
    log = Changelog(run, 101)
    await log.recovery.take(log.tp, run)
    assert log.seen == [("log", {"n": 100})]


@on_a_loop
async def test_afterwards_each_record_counts_once() -> None:
    log = Changelog(three_of_two_keys(), 3)
    for _ in range(2):
        await log.recovery.take(log.tp, three_of_two_keys())
    assert [value["n"] for _, value in log.seen] == [0, 1, 2]


@on_a_loop
async def test_a_record_that_does_not_decode_keeps_no_other_from_being_read() -> None:
    broken = [a_record(0, b'"log"', b"{"), a_record(1, b"\xff", b"1"), *three_of_two_keys()[2:]]
    log = Changelog(broken, 3)
    log.recovery.in_recovery = True
    await log.recovery.take(log.tp, broken)
    assert log.seen == [("log", {"n": 2})]
    assert not log.recovery.need_recovery()


@on_a_loop
async def test_records_of_another_topic_are_not_the_tables() -> None:
    log = Changelog([], 0)
    await log.recovery.take(TP("another", 0), three_of_two_keys())
    assert log.seen == []


@on_a_loop
async def test_records_that_were_read_and_dropped_are_read_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recovery_module, "LOOK_SECONDS", 0.01)
    log = Changelog(three_of_two_keys(), 3)  # the position is at the end, and nothing came
    await log.recovery._catch_up()
    assert (log.offset, log.consumer.sought) == (2, [0])
    assert "reading the rest" in caplog.text


@on_a_loop
async def test_an_end_that_was_compacted_away_is_believed_after_a_second_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery_module, "LOOK_SECONDS", 0.01)
    log = Changelog(three_of_two_keys(), 9)
    await log.recovery._catch_up()
    assert log.offset == 8
    assert not log.recovery.need_recovery()
    assert [value["n"] for _, value in log.seen] == [0, 1, 2]


def test_the_service_is_ours() -> None:
    assert isinstance(Changelog([], 0).recovery, PromptRecovery)
