"""Retrying calls to Kafka: brokers that change roles refuse temporarily, with an error that says
so.

Knows which refusals are temporary. Must not know what is asked. A broker that does not answer at
all is not retried: a command should report that at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

Answer = TypeVar("Answer")

PASSING: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
"""Refusals while leaders and coordinators change: some seconds, when a broker restarts."""

RETRY_SECONDS: Final = 20.0
"""How long they may last: Kafka has another leader after 9 s."""

PAUSE_SECONDS: Final = 0.2


def passes(error: KafkaException) -> bool:
    """Tell whether the broker refused only for the moment."""
    cause = error.args[0] if error.args else None
    return isinstance(cause, KafkaError) and cause.code() in PASSING


def ask_again(
    ask: Callable[[], Answer],
    seconds: float = RETRY_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Return what `ask` returns, once brokers no longer refuse for the moment.

    Raises
    ------
    KafkaException
        Any other at once; the last one after `seconds`.
    """
    started = clock()
    while True:
        try:
            return ask()
        except KafkaException as error:
            if not passes(error) or clock() - started >= seconds:
                raise
        sleep(PAUSE_SECONDS)
