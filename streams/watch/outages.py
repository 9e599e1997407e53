"""Outages: waiting for a Kafka that is unreachable, and which failures end when it is back.

Knows how long to wait and what to log meanwhile. Must not know what waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from faust.exceptions import ProducerSendError

from registry.connection.client_config import client_config
from registry.errors import AccessRefused, TransportError
from registry.settings import Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 3.0
"""How long Kafka may take to answer a look, and between two looks."""

OUTAGE_ERRORS: Final = (KafkaError, ProducerSendError, OSError, TimeoutError)
"""What Faust's app fails with when brokers go away under it."""


def is_outage(error: BaseException | None) -> bool:
    """Tell whether `error`, or what it came from, may be no more when Kafka is back."""
    while error is not None:
        if isinstance(error, OUTAGE_ERRORS):
            return True
        error = error.__cause__ or error.__context__
    return False


def answers(settings: Settings) -> bool:
    """Tell whether any broker answers, within a few seconds."""
    try:
        AdminClient(client_config(settings) | {"log_level": 0}).list_topics(timeout=LOOK_SECONDS)
    except KafkaException:
        return False
    return True


def outlast(
    act: Callable[[], None],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call `act` until it finds Kafka; say in one line, every few seconds, that it does not.

    Parameters
    ----------
    act
        Raises TransportError as long as Kafka is away.
    seconds
        How long to continue.

    Raises
    ------
    TransportError
        The last one, after `seconds`.
    """
    started = clock()
    while True:
        try:
            return act()
        except AccessRefused:  # waiting does not help
            raise
        except TransportError as error:
            waited = clock() - started
            if waited >= seconds:
                raise
            logger.info(  # a warning that repeats would be folded
                "waiting for Kafka, %.0f of at most %.0f s (RECSTREAM_OUTAGE_SECONDS): %s",
                waited,
                seconds,
                error,
            )
        sleep(LOOK_SECONDS)
