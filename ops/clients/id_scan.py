"""Which ids the interaction topic holds, and which users asked to be forgotten.

An edge: reads the whole topic, without a group. Must not know what is wrong with an id
(:mod:`ops.clients.id_faults`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from registry.ids import ItemId, UserId
from registry.kafka.topics import topics_of
from registry.settings import Settings
from training.log.interaction_log import opened
from training.log.offset_ranges import Span


class _Named(msgspec.Struct):
    """What a record names; the rest of it does not matter here."""

    user_id: int | str
    event: str
    item_id: int | str | None = None


@dataclass(frozen=True, slots=True)
class TopicIds:
    """The ids of a topic.

    Parameters
    ----------
    users
        Of events other than `forget`.
    items
        Of these events.
    forgotten
        Users of `forget` events.
    """

    users: set[UserId] = field(default_factory=set)
    items: set[ItemId] = field(default_factory=set)
    forgotten: set[UserId] = field(default_factory=set)


def ids_on_topic(settings: Settings, advance: Callable[[int, int], None]) -> TopicIds:
    """Return the ids of all interactions that Kafka has.

    Parameters
    ----------
    settings
        Which broker and topic.
    advance
        Called with the offsets passed, and those there are.

    Raises
    ------
    ConfigurationError
        If there is no such topic.
    TransportError
        If Kafka does not answer.
    """
    found, decoder = TopicIds(), msgspec.json.Decoder(_Named)
    with opened(settings, topics_of(settings).interactions.name) as log:
        limits = log.limits(log.partitions())
        whole, before = sum(end - start for start, end in limits.values()), 0
        for partition, (start, end) in limits.items():
            for position, batch in log.batches(partition, Span(start, end)):
                for message in batch:
                    _note(found, decoder, message.value())
                advance(before + position - start, whole)
            before += end - start
    return found


def _note(found: TopicIds, decoder: msgspec.json.Decoder[_Named], value: bytes | None) -> None:
    try:
        named = decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # a training counts those, by reason
    if named.event == "forget":
        found.forgotten.add(named.user_id)
        return
    found.users.add(named.user_id)
    if named.item_id is not None:
        found.items.add(named.item_id)
