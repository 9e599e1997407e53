"""The topic watch: asks the broker every few seconds for the state of our topics.

An edge. The consumers' own clients know topics by name and partition number, and do not notice one
that was recreated. The consequences of a change are in `streams.watch.topic_changes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from registry.connection.client_config import client_config
from registry.error_codes import NoticeCode
from registry.errors import TransportError
from registry.kafka.broker_topics import seen_topics
from registry.kafka.topics import Topics, changelog_of, mismatches
from registry.rollout.command_log import ControlLog
from registry.rollout.recreated_control_topic import is_foreign
from registry.settings import Settings
from streams.watch.notices import Notice, Reason
from streams.watch.topic_changes import TopicChanges

logger = logging.getLogger(__name__)

WATCH_SECONDS: Final = 3.0
"""Between two looks. Longer: records of a recreated topic wait longer."""


class TopicWatch:
    """Looks, and remembers; nothing is known before the first look.

    ``changelog_is_new`` until its owner has written what it knows: workers' memory is all there is.
    ``to_read_anew``: topics that were recreated, until this worker's group reads the new ones.
    """

    def __init__(self, settings: Settings, topics: Topics) -> None:
        self._changelog = changelog_of(settings).name
        self.changelog_is_new = False
        self.to_read_anew: set[str] = set()
        self._made_again: set[str] = set()
        self._config = client_config(settings) | {"log_level": 2}
        self._topics = topics
        self._admin: AdminClient | None = None
        self._has_looked = False
        self._differing: tuple[str, ...] = ()
        self._named: tuple[str, ...] = ()  # those that differed twice: no growth in progress
        self._changes = TopicChanges(
            frozenset(
                topic.name
                for topic in (topics.requests, topics.responses, topics.control, topics.fleet)
            )
        )

    @property
    def request_partitions(self) -> int | None:
        """How many partitions the request topic has; None before the first look."""
        return self._changes.partitions.get(self._topics.requests.name)

    @property
    def interaction_partitions(self) -> int | None:
        """How many partitions the interaction topic has; None before the first look."""
        return self._changes.partitions.get(self._topics.interactions.name)

    async def look(self) -> None:
        """Ask the broker.

        Raises
        ------
        TransportError
            If it does not answer.
        """
        if self._admin is None:
            self._admin = AdminClient(self._config)
        names = [self._changelog, *(topic.name for topic in self._topics)]
        seen = await asyncio.to_thread(seen_topics, self._admin, names, self._topics.optional)
        made_again = self._changes.look(seen)
        self._has_looked = True
        self.changelog_is_new |= self._changelog in made_again
        self._made_again |= made_again - {self._changelog}
        before, now = self._differing, mismatches(self._topics, self._changes.partitions)
        self._differing = tuple(now)
        self._named = tuple(mismatch for mismatch in now if mismatch in before)

    def take_made_again(self) -> list[str]:
        """Return the topics that were recreated, each once for each time."""
        taken, self._made_again = sorted(self._made_again), set()
        self.to_read_anew.update(taken)
        return taken

    async def control_topic_id(self, anew: bool) -> str | None:
        """Return the control topic's id; None if this broker gives none.

        Waits for the first look; `anew` asks the broker again.
        """
        while True:
            with contextlib.suppress(TransportError):  # no command is decided without
                if anew or not self._has_looked:
                    await self.look()
                return self._changes.id_of(self._topics.control.name)
            await asyncio.sleep(WATCH_SECONDS)

    def is_foreign(self, log: ControlLog) -> bool:
        """Tell whether the control topic is another one than `log` follows."""
        return is_foreign(log.topic_id, self._changes.id_of(self._topics.control.name))

    def adopting(self, log: ControlLog) -> ControlLog | None:
        """Return `log` with the control topic's id, if it is a log that has none and could."""
        topic_id = self._changes.id_of(self._topics.control.name)
        if topic_id is None or log.topic_id is not None or log.last_offset < 0:
            return None
        return replace(log, topic_id=topic_id)

    def missing(self) -> Reason | None:
        """Return that topics are missing; None if they are not."""
        return self._changes.reason()

    def notices(self) -> list[Notice]:
        """Return what an operator should act on."""
        return [Notice(NoticeCode.TOPICS_DIFFER, "; ".join(self._named))] if self._named else []
