"""What a worker does at the end of a rebalance: read the changelog to its end, then continue
serving.

1. **Look.** Get the current first and last offsets of the changelogs.
2. **Seek.** Changelogs to the last offset seen, all other partitions to the committed one. Nothing
  is read meanwhile, so nothing is read and dropped.
3. **Catch up.** Read the changelogs alone. A worker that has followed them is already at their end.
4. **Serve.** Read all partitions.

Faust 0.15.3 does this with signals, a queue and two readings. The problems, and what is done here
instead:

- The signal of the end is cleared right after it is set: whoever is not waiting at that moment
  misses it. Here the state is checked, not a signal.
- Resuming the flow empties the queue between reader and table, so records were lost, and waited for
  forever. Here there is no queue: the consumer passes each run of records to
  :meth:`PromptRecovery.take`.
- A changelog that every worker writes to and reads is both "active" and "standby": it was read
  twice, the second time from its start, at every rebalance.
- One record cost several asyncio tasks. Here, of a long run of records only the latest of each key
  counts, as after compaction.
- The end is defined by a record that may not exist: compaction removes a deleted key's last record.
  Here a position that stays at the end counts as well.
- A broker call that times out is mistaken for "service stopped", and recovery died for good. Here
  the call is retried.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError
from faust.exceptions import DecodeError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

logger = logging.getLogger(__name__)

STALL_SECONDS: Final = 3.0
"""Without a record for so long, and not at the end, the rest of a changelog is read again. A net:
`tests/integration/test_membership.py` shows that no ordinary join or restart needs it."""

BURST_RECORDS: Final = 100
"""More records than this in one read are no news that anybody has to follow one by one. Of fewer,
each counts: the last need not be the newest, where a paused owner has woken up and written it."""

LOOK_SECONDS: Final = 0.25
"""If no record arrives for this long, the position is checked. Longer than a read takes."""


class PromptRecovery(Recovery):
    """Faust's recovery service with the four steps of this module."""

    app: Any
    active_offsets: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arrived = asyncio.Event()

    @Service.task
    async def _restart_recovery(self) -> None:
        while not await self.wait_for_stopped(self.signal_recovery_start):  # type: ignore[arg-type]  # as Faust does
            self.signal_recovery_start.clear()
            try:
                await self._recover(self._generation_id)
            except RebalanceAgain:
                logger.debug("another rebalance began before this one had ended")
            except (KafkaError, TimeoutError) as error:  # Kafka is away, or a partition has gone
                logger.info("the rebalance has not ended, retrying: %r", error)
                await asyncio.sleep(LOOK_SECONDS)
                self.signal_recovery_start.set()
            except ServiceStopped:
                return

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Do nothing: there is no queue to empty."""

    async def _recover(self, generation: int) -> None:
        self._set_recovery_started()
        self.flush_buffers()
        await self._call(self.app.producer.flush())
        await self._call(self._look())
        await self._call(self.app.consumer.perform_seek())
        await self._call(self._seek(self.active_tps))
        if self.need_recovery():
            self._resume(self.active_tps)
            await self._catch_up()
        self.flush_buffers()
        self._set_recovery_ended()
        await self._serve(generation)

    async def _look(self) -> None:
        """Note the ends, and where to begin with what was not seen, or is not there any more."""
        consumer, changelogs = self.app.consumer, list(self.active_tps)
        if not changelogs:
            return
        ends, starts = await asyncio.gather(
            consumer.highwaters(*changelogs), consumer.earliest_offsets(*changelogs)
        )
        self.active_highwaters.clear()
        for tp in changelogs:
            last, before_first = (ends[tp] or 0) - 1, (starts[tp] or 0) - 1
            seen = self.active_offsets[tp]
            if seen is not None and seen > last:
                logger.warning(
                    "%s ends before the last offset read: the topic was recreated", tp.topic
                )
                seen = None
            self.active_offsets[tp] = before_first if seen is None else max(seen, before_first)
            self.active_highwaters[tp] = last

    async def _seek(self, changelogs: Iterable[TP]) -> None:
        await self.app.consumer.seek_wait({tp: self.active_offsets[tp] + 1 for tp in changelogs})

    def _resume(self, partitions: Iterable[TP]) -> None:
        """Read `partitions`, and all that were resumed before."""
        self.app.consumer.resume_partitions(set(partitions))
        if not self.app.consumer.flow_active:
            self.app.flow_control.resume()
            self.app.consumer.resume_flow()

    async def _catch_up(self) -> None:
        """Read the changelogs to their ends.

        Where the position is at the end and the last record has not come, it was compacted away, or
        was read and dropped: the rest is read once more, and then the end is believed.
        """
        await self.app._fetcher.maybe_start()
        still, was_read_again = 0.0, False
        while self.need_recovery():
            self._arrived.clear()
            if await self._happens(self._arrived.wait(), LOOK_SECONDS):
                still, was_read_again = 0.0, False
                continue
            still += LOOK_SECONDS
            is_at_end = await self._call(self._is_at_end())
            if is_at_end and was_read_again:
                for tp, end in self.active_highwaters.items():
                    self.active_offsets[tp] = end
            elif self.need_recovery() and (is_at_end or still >= STALL_SECONDS):
                still, was_read_again = 0.0, True
                await self._read_rest_again()

    async def _is_at_end(self) -> bool:
        """Tell whether there is nothing more to read in any changelog."""
        positions = [
            (await self.app.consumer.position_between_reads(tp), end)
            for tp, end in self.active_highwaters.items()
        ]
        return all(position is not None and position > end for position, end in positions)

    async def _read_rest_again(self) -> None:
        behind = {tp for tp, left in self.active_remaining().items() if left > 0}
        logger.warning("reading the rest of %s again", ", ".join(tp.topic for tp in behind))
        await self._call(self._seek(behind))
        self._resume(behind)

    async def take(self, tp: TP, run: list[Any]) -> None:
        """Apply the records of `run`, which are what a changelog's next read brought.

        Called by the consumer. Records that were seen before, and those of a partition that is not
        this worker's any more, change nothing.
        """
        table = self.tp_to_table.get(tp)
        if table is None or tp not in self.active_tps:
            return
        seen = self.active_offsets[tp]
        fresh = [record for record in run if seen is None or record.offset > seen]
        buffer = self.buffers[table]
        only_latest = len(fresh) > BURST_RECORDS
        for record in _latest_by_key(fresh) if only_latest else fresh:
            message = self.app.consumer._to_message(tp, record)
            try:
                event = await table.changelog_topic.decode(message, propagate=True)
                await table.on_changelog_event(event)
            except DecodeError as error:  # it must not keep the others from being read
                logger.error("%s: offset %d does not decode: %s", tp.topic, record.offset, error)
                continue
            buffer.append(event)
            if len(buffer) >= table.recovery_buffer_size:
                table.apply_changelog_batch(buffer)
                buffer.clear()
        if fresh:
            self.active_offsets[tp] = fresh[-1].offset
            self._arrived.set()

    async def _serve(self, generation: int) -> None:
        app, consumer = self.app, self.app.consumer
        await app.on_rebalance_complete.send()
        for table in self.tables.values():
            await table.on_recovery_completed(
                self.actives_for_table[table], self.standbys_for_table[table]
            )
        if app.consumer_generation_id != generation:
            return  # the next rebalance is in progress, and ends here too
        self._resume(consumer.assignment())
        await app._fetcher.maybe_start()
        self.completed.set()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()
        logger.info("rebalanced: %d partitions", len(consumer.assignment()))

    async def _call(self, call: Any) -> Any:
        """Wait for a broker's answer, however long that takes."""
        pending = asyncio.ensure_future(call)
        try:
            while not pending.done():
                timeout = self.app.conf.broker_request_timeout
                await self._happens(asyncio.shield(pending), timeout)
            return pending.result()
        finally:
            pending.cancel()

    async def _happens(self, event: Any, seconds: float) -> bool:
        """Wait for `event`; tell whether it came.

        Raises
        ------
        RebalanceAgain
            If another rebalance needs the service.
        ServiceStopped
            If it is to end.
        """
        happened = asyncio.ensure_future(event)
        restart: Any = self.signal_recovery_start
        result = await self.wait_first(happened, restart, timeout=seconds)
        if self.should_stop or self.crashed:
            raise ServiceStopped
        if restart in result.done:
            raise RebalanceAgain
        return happened in result.done


def _latest_by_key(run: list[Any]) -> list[Any]:
    """Return the last record of each key, in the order of their offsets."""
    latest: Mapping[bytes, Any] = {record.key: record for record in run}
    return sorted(latest.values(), key=lambda record: record.offset)


class PromptTableManager(TableManager):
    """Faust's table manager with :class:`PromptRecovery`.

    Behaviour: it waits for a second at every start, for agents that may still add tables. Ours are
    all there when the app is assembled.
    """

    async def on_start(self) -> None:
        """Register the tables, and wait for the first assignment."""
        await self._update_channels()
        await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        """The recovery service; made once."""
        if self._recovery is None:
            self._recovery = PromptRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
