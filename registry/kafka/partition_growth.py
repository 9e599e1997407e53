"""More partitions for the topics that belong together, in an order in which nothing is lost.

Which they are, and whether they agree, is in `registry.kafka.topic_admin`. Workers notice
automatically.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from registry.connection.client_config import client_config
from registry.error_codes import CommandCode
from registry.errors import RefusedCommand, TransportError
from registry.kafka.topic_admin import ADMIN_TIMEOUT_SECONDS, partitions_by_topic, wait_until_shown
from registry.kafka.topics import Topic, Topics, topics_of
from registry.settings import Settings


def topics_to_grow(topics: Topics, partitions: Mapping[str, int], wanted: int) -> list[Topic]:
    """Return the topics that have fewer than `wanted` partitions, in the order to grow them.

    One that is optional and missing is left out.

    Raises
    ------
    RefusedCommand
        ``topic_missing``, or ``would_shrink`` if one has more already.
    """
    present = [
        topic
        for topic in topics.by_user
        if topic.name in partitions or topic.name not in topics.optional
    ]
    for topic in present:
        if topic.name not in partitions:
            raise RefusedCommand(
                f"topic {topic.name} was not found; run `recstream topics create`, then grow the "
                f"topics",
                CommandCode.TOPIC_MISSING,
            )
        if partitions[topic.name] > wanted:
            raise RefusedCommand(
                f"topic {topic.name} has {partitions[topic.name]} partitions, more than {wanted}: "
                f"Kafka cannot shrink a topic; nothing was changed",
                CommandCode.WOULD_SHRINK,
            )
    return [topic for topic in present if partitions[topic.name] < wanted]


def grow_topics(
    settings: Settings, wanted: int, on_grown: Callable[[Topic], None] = lambda _: None
) -> list[Topic]:
    """Give the topics by user `wanted` partitions each; return those that had fewer.

    Each is waited for before the next one begins, so a call that broke off is simply repeated.

    Parameters
    ----------
    settings
        Where the topics are.
    wanted
        How many partitions each is to have.
    on_grown
        Called after each topic.

    Raises
    ------
    RefusedCommand
        As :func:`topics_to_grow`; nothing was changed.
    TransportError
        If the broker cannot be reached, or refuses.
    """
    admin = AdminClient(client_config(settings))
    grown = topics_to_grow(topics_of(settings), partitions_by_topic(admin), wanted)
    for topic in grown:
        try:
            futures = admin.create_partitions(
                [NewPartitions(topic.name, wanted)], request_timeout=ADMIN_TIMEOUT_SECONDS
            )
            futures[topic.name].result()
        except KafkaException as error:
            raise TransportError(f"topic {topic.name} did not grow: {error}") from error
        wait_until_shown(admin, {topic.name: wanted})
        on_grown(topic)
    return grown
