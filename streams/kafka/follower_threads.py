"""What all followers do: a thread with a client of its own that outlasts whatever happens to Kafka.

An edge. Knows how a client is made and that it may fail. Must not know what is followed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message

from registry.errors import RefusedRecord, TransportError
from registry.kafka.topic_reader import connected
from registry.settings import Settings

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0

WARN_SECONDS: Final = 30.0
"""Between two lines on records that cannot be used; a metric counts each."""


def follow_until_stopped(
    name: str,
    settings: Settings,
    config: Mapping[str, str | int],
    follow: Callable[[Consumer], None],
    note_trouble: Callable[[Exception], None],
    stopping: threading.Event,
) -> threading.Thread:
    """Run `follow` with one client after the other until `stopping`; return the thread.

    Parameters
    ----------
    name
        Of the thread.
    settings, config
        Where Kafka is, and further settings of its client.
    follow
        Reads; returns or raises when it needs another client.
    note_trouble
        Called with what it raised.
    stopping
        Whether this worker ends.
    """

    def run() -> None:
        while not stopping.is_set():
            try:
                with connected(settings, config) as consumer:
                    follow(consumer)
            except (KafkaException, TransportError, RefusedRecord) as error:
                note_trouble(error)
            except Exception as error:  # the thread's edge: what reads must go on
                if not stopping.is_set():
                    logger.exception("following %s", name)
                note_trouble(error)
            stopping.wait(RETRY_SECONDS)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def place_of(message: Message) -> tuple[str, int, int]:
    """Return topic, partition and offset of a message that was read."""
    topic, number, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None  # only a message that was never sent has none
    assert number is not None
    assert offset is not None
    return topic, number, offset


class Complaints:
    """Whether it is time for another line on records that cannot be used."""

    def __init__(self) -> None:
        self._due_at = float("-inf")

    def are_due(self) -> bool:
        """Tell so, and remember that a line is written."""
        now = time.monotonic()
        if now < self._due_at:
            return False
        self._due_at = now + WARN_SECONDS
        return True
