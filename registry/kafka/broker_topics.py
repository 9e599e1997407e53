"""Topics as the broker has them now: which exist, their ids and partitions.

An edge. A topic that is recreated under its name, or a topic of that name on another cluster, has
another id: offsets of the former topic say nothing about it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Container, Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient

from registry.errors import TransportError

ANSWER_SECONDS: Final = 10.0
"""How long the broker may take; the next look is a moment later."""

ZERO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
"""What brokers without ids say: sixteen bytes of 0."""


LEAKING_RELEASE: Final = "2.16.1"
"""Of confluent-kafka; the locked one."""


class SeenTopic(NamedTuple):
    """One topic: its id, None if this broker gives none, and how many partitions it has."""

    topic_id: str | None
    partitions: int


def seen_topics(
    admin: AdminClient, names: Iterable[str], optional: Container[str] = ()
) -> Mapping[str, SeenTopic]:
    """Return those topics of `names` that exist.

    Parameters
    ----------
    admin
        Asks.
    names
        The topics.
    optional
        Topics that count as absent where this user may not see them.

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
            code = error.args[0].code()
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED and name in optional:
                continue
            raise TransportError(f"topic {name} cannot be described: {error}") from error
        found[name] = SeenTopic(_text_of(described.topic_id), len(described.partitions))
        _release_leaked_reference(described)
    return found


def _text_of(topic_id: Uuid) -> str | None:
    text = str(topic_id)
    return None if text == ZERO_ID else text


class _Holder:
    """Holds an id exactly as a description does, but for the leak."""

    topic_id = Uuid(0, 0)


def _release_leaked_reference(described: Any) -> None:
    """Free a topic's id together with its description.

    confluent-kafka 2.16.1 forgets one reference to each: 1.1 KB for nine topics, and so more than a
    megabyte an hour of a worker that looks every three seconds. Other releases are left alone:
    whether they leak was not tried, and a reference too few is worse than one too many.
    """
    if version("confluent-kafka") != LEAKING_RELEASE:
        return
    if sys.getrefcount(described.topic_id) == sys.getrefcount(_Holder.topic_id) + 1:
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(described.topic_id))
