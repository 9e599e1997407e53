"""Slices: one Faust event for all the records that one poll brought for one topic partition.

Stock Faust makes one event, four asyncio tasks and one acknowledgement per record, which costs more
than half of a worker's CPU time. For the topics named here, one message carries the list of raw
records of a whole poll; its offset is the last record's. What must stay exact:

1. **Commit.** Slices of a partition are committed in the order of delivery: the offset to commit is
   the one after the longest prefix of slices that are all acknowledged
   (`streams.kafka.slice_ledger`). Offsets themselves are never counted, so a hole left by
   compaction belongs to the slice that follows it.
2. **Rebalance.** Before partitions are revoked, reading stops, delivered requests are answered and
  committed (bounded in time), then the ledgers are discarded. A slice that finishes later belongs
  to no ledger and commits nothing.
3. **Seek.** When Faust seeks back to the committed offsets, which ends every rebalance, new ledgers
  start. Reading and seeking exclude each other, changelogs included: records read before a seek are
  not delivered after it, and nothing else is read between a rebalance and its seek.
4. **Back-pressure.** A partition with too many unacknowledged records is not read until half of
   them are done (`streams.kafka.back_pressure`). The other topics are still read: a backlog never
   delays a control command.

All other topics keep Faust's per-record path. Knows Faust's consumer; must not know what is in a
record. ``tests/integration/test_slices.py`` proves each point, with a negative control.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP, Message

from streams.kafka.back_pressure import may_resume, must_pause
from streams.kafka.faust_workarounds import PromptConsumerThread
from streams.kafka.slice_ledger import Ledger
from streams.watch.read_progress import Progress

if TYPE_CHECKING:
    from streams.kafka.slice_transport import SliceTransport

HANDOVER_SECONDS: Final = 4.0
"""How long a rebalance waits for delivered slices. Longer delays the whole group; shorter answers
more requests twice. Must stay below the shortest session timeout (6 s)."""

MADE_AGAIN_SECONDS: Final = 20.0
"""How long committed offsets of a recreated topic are not trusted: until every worker has noticed,
and has committed in the new one. Longer: a rebalance has more requests answered twice."""

READ_SECONDS: Final = 0.1
"""Longest wait of one read; a rebalance waits for the read in progress."""

NOTHING_TO_READ_SECONDS: Final = 0.02
"""Between two looks while no partition may be read, as between a rebalance and its seek."""


class SliceConsumer(Consumer):
    """Faust's consumer, with slices for the topics that its transport names."""

    transport: SliceTransport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ledgers: dict[TP, Ledger] = {}
        self._reading = asyncio.Lock()
        self._sought = False
        self._made_again: dict[str, float] = {}
        self.cut_off: Counter[str] = Counter()  # offsets that were gone unread, by topic

    def _new_consumer_thread(self) -> PromptConsumerThread:
        return PromptConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _recovery(self) -> Any:
        tables: Any = self.app.tables
        return tables.recovery

    def _is_sliced(self, tp: TP) -> bool:
        return tp.topic in self.transport.sliced_topics

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Yield one message per record, or per partition for sliced topics.

        What changelogs bring goes to recovery at once: no queue is emptied between here and there.
        """
        if not self.flow_active:
            # not while reading: a seek would wait for it
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # as Faust does
        async with self._reading:
            for tp, run in await self._read(min(timeout, READ_SECONDS)):
                if not self.flow_active:
                    return  # what is left is sought again
                if self._is_changelog_tp(tp):
                    await self._recovery.take(tp, run)
                else:
                    yield tp, self._deliver(tp, run)

    async def _read(self, timeout: float) -> list[tuple[TP, list[Any]]]:
        """Read once; return runs of records, each to become one message."""
        if not self.flow_active:
            return []  # stopped while this waited for a seek to end
        if not self._get_active_partitions():  # Faust waits for a second here, and seeks for it
            await asyncio.sleep(NOTHING_TO_READ_SECONDS)
            return []
        records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop or not self.flow_active:
            return []  # what was read is sought again
        wanted = {tp: run for tp, run in records.items() if self._is_wanted(tp, active)}
        for tp in wanted:
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        changelogs = {tp: run for tp, run in wanted.items() if self._is_changelog_tp(tp)}
        slices = {tp: run for tp, run in wanted.items() if self._is_sliced(tp)}
        others = {tp: run for tp, run in wanted.items() if tp not in slices | changelogs}
        single = [(tp, [record]) for tp, record in self.scheduler.iterate(others)]
        return [*changelogs.items(), *single, *slices.items()]

    def _is_wanted(self, tp: TP, active: set[TP] | None) -> bool:
        """Tell whether records of `tp` count now; those that do not are sought again.

        A changelog's are not sought again, so they always count: recovery knows which it has seen.
        """
        if self._is_changelog_tp(tp):
            return True
        paused = active is not None and tp not in active and tp not in self._buffered_partitions
        return self._sought and not paused

    def _deliver(self, tp: TP, run: list[Any]) -> Message:
        message = self._to_message(tp, run[-1])
        if self._is_sliced(tp):
            message.value = run  # type: ignore[assignment]  # what makes it a slice
            ledger = self._ledgers.setdefault(tp, Ledger())
            ledger.deliver(message, len(run))
            if must_pause(ledger.unacknowledged, self.transport.in_flight_records):
                self.on_buffer_full(TP(*tp))
        return message

    def ack(self, message: Message) -> bool:
        """Acknowledge; a slice that makes room lets its partition be read again."""
        acknowledged = super().ack(message)
        ledger = self._ledgers.get(message.tp)
        if ledger is not None:
            ledger.settle()
            if may_resume(ledger.unacknowledged, self.transport.in_flight_records):
                self.on_buffer_drop(TP(*message.tp))
        return bool(acknowledged)

    def _new_offset(self, tp: TP) -> int | None:
        if not self._is_sliced(tp):
            offset: int | None = super()._new_offset(tp)
            return offset
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        ledger = self._ledgers.get(tp)
        return None if ledger is None else ledger.settle()

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if not self._is_sliced(tp):
            await super()._add_gap(tp, offset_from, offset_to)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek to `partitions`' offsets, which recovery does with a changelog, between two reads.

        A read in progress would bring and drop records from there on, and recovery would wait
        for them for ever.
        """
        async with self._reading:
            await super().seek_wait(partitions)

    async def position_between_reads(self, tp: TP) -> int | None:
        """Return the offset that is read next, once all before it was delivered."""
        async with self._reading:
            position: int | None = await self.position(tp)
            return position

    async def perform_seek(self) -> None:
        """Seek back to the committed offsets: what was delivered from there on comes again."""
        async with self._reading:
            self._ledgers.clear()
            if not self.assignment():  # aiokafka takes it for a bug; topics may be missing for now
                return
            await super().perform_seek()
            uncommitted = [
                tp
                for tp in self.assignment()
                if not self._is_changelog_tp(tp) and not self._committed_offset[tp]
            ]
            if uncommitted:  # aiokafka leaves these where they are, past what was read and dropped
                for tp, offset in (await self.earliest_offsets(*uncommitted)).items():
                    await self.seek(tp, offset)
            await self._begin_recent_anew()
            self._sought = True

    def note_reset(self, tp: TP, position: int) -> None:
        """Take note that the broker had nothing at the old position, and `position` comes next.

        Either records were removed before they were read, or the topic was recreated.
        """
        if self._is_changelog_tp(tp):
            return
        ledger = self._ledgers.get(tp)
        expected = ledger.delivered_to if ledger else self._read_offset[tp]
        if expected is None:
            return
        if position > expected:
            self.cut_off[tp.topic] += position - expected
        elif position < expected:
            self._begin_anew(tp)

    async def read_anew(self, topic: str) -> None:
        """Read the assigned partitions of `topic` from the beginning: it was recreated.

        So it is after each rebalance of the next moments: what a worker that had not noticed yet
        has committed since is an offset of the former topic.
        """
        async with self._reading:
            self._made_again[topic] = self.loop.time()
            await self._begin_recent_anew()

    async def _begin_recent_anew(self) -> None:
        now = self.loop.time()
        for tp in self.assignment():
            if now - self._made_again.get(tp.topic, -math.inf) < MADE_AGAIN_SECONDS:
                await self.seek(tp, 0)
                self._begin_anew(tp)

    def _begin_anew(self, tp: TP) -> None:
        """Forget offsets of a former log: Faust would drop, and not commit, what is below them."""
        self._ledgers.pop(tp, None)
        for offsets in (self._read_offset, self._committed_offset, self._gap):
            offsets.pop(tp, None)
        self._acked[tp].clear()
        self._acked_index[tp].clear()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Answer and commit what was delivered, then give the partitions away."""
        await self.drain()
        self._sought = False
        for tp in revoked:
            self._ledgers.pop(tp, None)
            self._buffered_partitions.discard(tp)
        await super().on_partitions_revoked(revoked)

    async def drain(self) -> None:
        """Read no more, wait for what was delivered to be acknowledged, and commit it."""
        self.stop_flow()
        await self._hand_over()

    async def _hand_over(self) -> None:
        deadline = self.loop.time() + HANDOVER_SECONDS
        while self.unacknowledged_records() and self.loop.time() < deadline:
            await asyncio.sleep(0.01)
        await self.commit()

    def unacknowledged_records(self) -> int:
        """Return how many records of sliced topics are delivered and not yet answered."""
        return sum(ledger.unacknowledged for ledger in self._ledgers.values())

    def assigned(self, topic: str) -> frozenset[int]:
        """Return the numbers of the assigned partitions of `topic`."""
        try:
            return frozenset(tp.partition for tp in self.assignment() if tp.topic == topic)
        except ConsumerNotStarted:
            return frozenset()

    def progress(self, topic: str) -> Mapping[int, Progress]:
        """Return, by assigned partition of `topic`, how far it is read."""
        thread = cast(PromptConsumerThread, self._thread)
        found = {number: thread.progress(TP(topic, number)) for number in self.assigned(topic)}
        return {partition: progress for partition, progress in found.items() if progress}

    def lags(self, topic: str) -> Mapping[int, int]:
        """Return, by assigned partition of `topic`, the records not yet answered.

        Those that were delivered and are not acknowledged, and those from the position on that may
        be read. Offsets that hold no record, such as the markers of transactions, are passed by the
        position; what an open transaction holds back is not ours to answer yet.
        """
        return {
            partition: self._unacknowledged(TP(topic, partition)) + progress.unread
            for partition, progress in self.progress(topic).items()
            if progress.stable_end is not None
        }

    async def verify_all_partitions_active(self) -> None:
        """Behaviour: Faust takes a partition of slices for one whose stream stands still.

        It says so in a page of text, every few seconds. The lag and the probes tell what is true.
        """

    def _unacknowledged(self, tp: TP) -> int:
        ledger = self._ledgers.get(tp)
        return ledger.unacknowledged if ledger else 0
