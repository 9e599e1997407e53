"""A thread that sends requests and reads answers for as long as its context lasts.

The base class starts and stops the thread and reports when it has ended early. Subclasses decide
what to send and what to do with the answers.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, Producer

from ops.clients import kafka_client as client
from registry.connection.client_config import client_config
from registry.errors import TransportError
from registry.kafka.topic_reader import reading
from registry.kafka.topics import topics_of
from registry.settings import Settings


class BackgroundTraffic(ABC):
    """Runs `_ask_and_listen` in a thread until `_stopping` is set.

    Parameters
    ----------
    settings
        Where Kafka is.
    name
        Name of the thread.
    producer
        Configuration of its producer, in addition to the connection.
    """

    def __init__(self, settings: Settings, name: str, producer: Mapping[str, str | int]) -> None:
        self._settings = settings
        self._topics = topics_of(settings)
        self._producer_config = producer
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.asked = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if error is None:
            self.require_running()

    def require_running(self) -> None:
        """Check that the thread has not failed.

        Raises
        ------
        TransportError
            With the cause, if it has.
        """
        if self._failure is not None:
            raise TransportError(f"the traffic stopped: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            with reading(self._settings, self._topics.responses) as consumer:
                config = client_config(self._settings) | client.AS_JAVA
                self._ask_and_listen(Producer(config | dict(self._producer_config)), consumer)
        except Exception as error:  # the thread's outermost edge; `require_running` raises it
            self._failure = error

    @abstractmethod
    def _ask_and_listen(self, producer: Producer, consumer: Consumer) -> None:
        """Send requests until `_stopping` is set, and read the answers."""
