"""Topics as the broker has them now: which exist, their ids and partitions.

An edge. A topic that is recreated under its name, or a topic of that name on another cluster, has
another id: offsets that were counted on the former one say nothing about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from registry.errors import TransportError

ANSWER_SECONDS: Final = 10.0
"""How long the broker may take; the next look is a moment later."""

ZERO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
"""What brokers without ids say: sixteen bytes of 0."""


class SeenTopic(NamedTuple):
    """One topic: its id, None if this broker gives none, and how many partitions it has."""

    topic_id: str | None
    partitions: int


def seen_topics(admin: AdminClient, names: Iterable[str]) -> Mapping[str, SeenTopic]:
    """Return those topics of `names` that exist.

    Raises
    ------
    TransportError
        If the broker does not answer.
    """
    wanted = list(names)
    try:
        futures = admin.describe_topics(TopicCollection(wanted), request_timeout=ANSWER_SECONDS)
    except KafkaException as error:
        raise TransportError(f"topics cannot be described: {error}") from error
    found = {}
    for name, future in futures.items():
        try:
            described = future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise TransportError(f"topic {name} cannot be described: {error}") from error
        topic_id = str(described.topic_id)
        known = None if topic_id == ZERO_ID else topic_id
        found[name] = SeenTopic(known, len(described.partitions))
    return found
