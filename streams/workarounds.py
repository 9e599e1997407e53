"""Our answers to behaviours of Faust 0.15.3, each with the behaviour that it answers.

The slice consumer, the largest of them, has a module of its own (`streams.slices`). Each behaviour
is pinned by a test, so that an upgrade which changes it is noticed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import faust
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Producer
from faust.types import TP

from streams.bootstrapping import search_all_brokers
from streams.progress import Progress

logger = logging.getLogger(__name__)

STALL_SECONDS: Final = 3.0
"""Without an end of the changelog for so long, it is read again from what the table holds."""


class PatientRecovery(Recovery):
    """Behaviour: `wait_first` reports a timeout as "service stopped", and recovery dies for good.

    One broker call that is slower than `broker_request_timeout` during a rebalance would leave the
    worker in its group, consuming nothing. Here the call is waited for again.

    Behaviour: recovery waits without limit for the changelog's last offset, also when its records
    came and were dropped, or when the signal of the end was given before anybody waited for it.
    Here what is missing is read again, and a signal that was missed is given again.
    """

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        call: asyncio.Future[Any] = asyncio.ensure_future(coro)
        restart: Any = self.signal_recovery_start
        try:
            while True:  # what never ends is an outage, or shows in `/healthz`
                result = await self.wait_first(
                    asyncio.shield(call), restart, timeout=timeout or STALL_SECONDS
                )
                if self.should_stop or self.crashed:
                    raise ServiceStopped
                if restart in result.done:
                    raise RebalanceAgain
                if call.done():
                    call.result()
                    return
                if timeout is None:
                    await self._read_rest_again()
        finally:
            call.cancel()

    async def _read_rest_again(self) -> None:
        if not self.in_recovery:
            self.signal_recovery_end.set()
        behind = {tp for tp, left in self.active_remaining().items() if left > 0}
        if behind:
            logger.warning("reading the rest of %s again", ", ".join(tp.topic for tp in behind))
            consumer = self.app.consumer
            await self._seek_offsets(consumer, behind, self.active_offsets, "active")
            consumer.resume_partitions(behind)


class FolderlessApp(faust.App):
    """Behaviour: an app makes folders for table files, also when all tables are in memory.

    They would be left behind in whatever folder the worker was started in.
    """

    def _create_directories(self) -> None:
        pass


class PatientTableManager(TableManager):
    """Faust's table manager with :class:`PatientRecovery`."""

    @property
    def recovery(self) -> Recovery:
        """The recovery service; made once."""
        if self._recovery is None:
            self._recovery = PatientRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


FETCH_WAIT_MS: Final = 100
"""How long a broker may hold an empty fetch. The embedded broker answers half of it late, always;
Apache Kafka answers at once when a record comes. Shorter only asks an idle broker more often."""


class PromptConsumerThread(AIOKafkaConsumerThread):
    """Behaviour: the longest wait of a fetch is fixed at 1500 ms.

    Behaviour: unless Faust itself produces in transactions, it reads what others' transactions have
    not committed, and what they aborted. Here only what is committed is read.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"
        search_all_brokers(consumer._client)
        return consumer

    async def on_start(self) -> None:
        """Behaviour: a position that the broker does not have any more is reset with an INFO line.

        Here the slice consumer is told where reading goes on: records may have been cut off, or the
        topic made again.
        """
        await super().on_start()
        fetcher: Any = self._ensure_consumer()._fetcher
        consumer: Any = self.consumer  # streams.slices.SliceConsumer
        update = fetcher._update_fetch_positions

        async def update_and_tell(assignment: Any, node_id: Any, tps: Any) -> Any:
            reset = [tp for tp in tps if assignment.state_value(tp).awaiting_reset]
            result = await update(assignment, node_id, tps)
            for tp in reset:
                position = assignment.state_value(tp)._position
                if position is not None:
                    consumer.loop.call_soon_threadsafe(consumer.note_reset, TP(*tp), position)
            return result

        fetcher._update_fetch_positions = update_and_tell

    def progress(self, tp: TP) -> Progress | None:
        """Return how far `tp` is read; None if it is not assigned."""
        assignment = self._ensure_consumer()._subscription.subscription.assignment
        if assignment is None or tp not in assignment.tps:
            return None
        state = assignment.state_value(tp)
        stable_end = state.lso if state.lso is not None and state.lso >= 0 else state.highwater
        return Progress(state._position, stable_end, state.highwater)


class PatientProducer(Producer):
    """Behaviour: what is not sent within the time of one request is dropped.

    A change of the table would be lost in an outage, and nobody would know. Here it is kept as long
    as a worker waits for Kafka.
    """

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        transport: Any = self.transport
        producer._message_accumulator._batch_ttl = transport.outage_seconds
        search_all_brokers(producer.client)
        return producer


ROLLOUT_TABLE_OPTIONS: Final[dict[str, Any]] = {
    "partitions": 1,
    "recovery_buffer_size": 1,
    "synchronize_all_active_partitions": True,
    "use_partitioner": True,
}
"""What a GlobalTable needs to be global.

With Faust's defaults the other workers apply changes only when 1000 have gathered
(``recovery_buffer_size``), and forget to go on reading after a rebalance
(``synchronize_all_active_partitions``). More than one partition upsets the sticky assignment of the
request topic. ``use_partitioner`` lets timers write, outside of a stream's iteration.
"""
