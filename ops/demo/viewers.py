"""The demo's viewers: users of the data set who rate what they are shown, by their real ratings.

Must not know versions: they look at films only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Producer

from ops.clients import kafka_client
from ops.clients.traffic_generator import GeneratedTraffic, TimedAnswer
from registry.connection.client_config import client_config
from registry.ids import ItemId, UserId
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.responses import Response
from registry.wire.training_records.interactions import Interaction

PER_SECOND: Final = 300
"""Answers; each viewer gets one every two seconds."""

SENT_SECONDS: Final = 10.0


class Viewers:
    """Rates the films of each viewer's first answer under an epoch; see the module.

    Parameters
    ----------
    settings
        Where Kafka is.
    tastes
        By user, his rating of each film that he has seen elsewhere.
    since
        The first epoch of whose answers films are rated.
    """

    def __init__(
        self, settings: Settings, tastes: Mapping[UserId, Mapping[ItemId, float]], since: int
    ) -> None:
        self._topic = topics_of(settings).interactions.name
        self._producer = Producer(client_config(settings) | kafka_client.AS_JAVA | {"linger.ms": 2})
        self._tastes = tastes
        self._since = since
        self._watched: set[tuple[UserId | None, int]] = set()
        self.ratings = 0

    def watch(self, answer: TimedAnswer) -> None:
        """Take in an answer, and rate what the viewer knows of it."""
        for rating in self._opinions(answer.response):
            self._producer.produce(self._topic, encode(rating), str(rating.user_id).encode())
            self.ratings += 1
        self._producer.poll(0)

    def leave(self) -> None:
        """Wait until all ratings were sent."""
        self._producer.flush(SENT_SECONDS)

    def _opinions(self, answer: Response) -> Iterator[Interaction]:
        epoch = answer.provenance.rollout_epoch
        if epoch is None or epoch < self._since or (answer.user_id, epoch) in self._watched:
            return
        self._watched.add((answer.user_id, epoch))
        known = {} if answer.user_id is None else self._tastes.get(answer.user_id, {})
        for item in answer.items:
            if answer.user_id is not None and item.item_id in known:
                yield Interaction(
                    user_id=answer.user_id,
                    item_id=item.item_id,
                    event="rate",
                    value=known[item.item_id],
                    request_id=answer.request_id,
                )


@contextmanager
def watching(
    settings: Settings, tastes: Mapping[UserId, Mapping[ItemId, float]], since: int
) -> Iterator[Viewers]:
    """Have viewers ask, watch and rate while the context lasts."""
    viewers = Viewers(settings, tastes, since)
    with GeneratedTraffic(settings, list(tastes), PER_SECOND, viewers.watch):
        yield viewers
    viewers.leave()
