"""Workarounds for behaviours of Faust 0.15.3, each with the behaviour that it works around.

The largest ones have their own modules: `streams.kafka.slices`, `streams.kafka.table_recovery` and
`streams.kafka.assignor`. Each behaviour is pinned by a test, so an upgrade that changes it is
noticed.
"""

from __future__ import annotations

from typing import Any, Final

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Producer
from faust.types import TP

from streams.kafka.aiokafka_workarounds import search_all_brokers
from streams.watch.read_progress import Progress


class FolderlessApp(faust.App):
    """Behaviour: an app makes folders for table files, also when all tables are in memory.

    They would be left behind in whatever folder the worker was started in.
    """

    def _create_directories(self) -> None:
        pass


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

        Here the slice consumer learns where reading continues: records may have been cut off, or
        the topic recreated.
        """
        await super().on_start()
        fetcher: Any = self._ensure_consumer()._fetcher
        consumer: Any = self.consumer  # streams.kafka.slices.SliceConsumer
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
