"""Looking things up in Kafka, outside of Faust: where a topic ends, and one command of the log.

An edge; blocks, so it is called in a thread. Must not know what the answers are for.
"""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import KafkaException, TopicPartition

from registry.reachability import unreachable
from registry.reading import bounds, connected, slice_of
from registry.records import Command, decode
from registry.settings import Settings
from registry.topics import Topic

READ_SECONDS: Final = 10.0
"""How long one record may take to come; a broker's restart is left to the next look."""


def ends_of(settings: Settings, topic: Topic) -> dict[int, int]:
    """Return the offset after the last record, by partition.

    Raises
    ------
    TransportError
        If Kafka does not answer, or the topic is missing.
    """
    with connected(settings) as consumer:
        return {one.partition: end for one, _, end in bounds(settings, consumer, topic)}


def command_at(settings: Settings, topic: Topic, offset: int) -> Command | None:
    """Return the command at `offset` of the control topic; None if it is gone.

    Raises
    ------
    TransportError
        If Kafka does not answer in time.
    RecordError
        If what stands there is no command.
    """
    place = TopicPartition(topic.name, 0)
    try:
        with connected(settings) as consumer:
            deadline = time.monotonic() + READ_SECONDS
            found = slice_of(consumer, place, offset, offset + 1, deadline)
    except KafkaException as error:
        raise unreachable(settings, error) from error
    return next((decode(Command, one.value()) for one in found if one.offset() == offset), None)
