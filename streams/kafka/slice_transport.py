"""Faust's transport with our consumer and producer: which topics are read in slices."""

from __future__ import annotations

from typing import Any

from faust.transport.drivers.aiokafka import Transport

from streams.kafka.faust_workarounds import PatientProducer
from streams.kafka.slices import SliceConsumer


class SliceTransport(Transport):
    """Faust's transport with :class:`SliceConsumer`.

    Parameters
    ----------
    sliced_topics
        Names of the topics that are read in slices.
    in_flight_records
        Unacknowledged records at which a partition's reading pauses.
    outage_seconds
        How long what the table sends is kept while Kafka is away.
    """

    Consumer = SliceConsumer
    Producer = PatientProducer

    def __init__(
        self,
        *args: Any,
        sliced_topics: frozenset[str],
        in_flight_records: int,
        outage_seconds: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.outage_seconds = outage_seconds
        self.sliced_topics = sliced_topics
        self.in_flight_records = in_flight_records
