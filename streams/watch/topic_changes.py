"""Changes of the topics: missing, recreated, or with differing numbers of partitions. Rules only.

Pure: the broker's view of them comes in, look by look. Must not know who asks the broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from registry.error_codes import ReadinessCode
from streams.watch.notices import Reason


class KnownTopic(Protocol):
    """One topic that exists: its id, None if the broker gives none, and its partitions."""

    @property
    def topic_id(self) -> str | None:
        """Differs once the topic was recreated."""

    @property
    def partitions(self) -> int:
        """How many."""


class TopicChanges:
    """Remembers the topics' ids.

    Parameters
    ----------
    needed Names of the topics that a worker needs.
    """

    def __init__(self, needed: frozenset[str]) -> None:
        self._needed = needed
        self._ids: dict[str, str] = {}
        self._made_again: dict[str, int] = {}
        self._seen: Mapping[str, KnownTopic] | None = None

    @property
    def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic that exists has; empty before the first look."""
        return {name: topic.partitions for name, topic in (self._seen or {}).items()}

    def id_of(self, name: str) -> str | None:
        """Return the topic's id, as it was when it was last seen; None if the broker gives none."""
        return self._ids.get(name)

    def look(self, seen: Mapping[str, KnownTopic]) -> frozenset[str]:
        """Take what the broker shows; return the topics that were recreated since the last look.

        One that is missing meanwhile keeps its id: what comes under its name is compared with it.
        """
        made_again = set()
        for name, topic in seen.items():
            known = self._ids.get(name)
            if topic.topic_id is not None and known is not None and topic.topic_id != known:
                made_again.add(name)
                self._made_again[name] = self._made_again.get(name, 0) + 1
            if topic.topic_id is not None:
                self._ids[name] = topic.topic_id
        self._seen = seen
        return frozenset(made_again)

    def reason(self) -> Reason | None:
        """Return why no worker can work: topics are missing; None as long as nobody has looked."""
        missing = sorted(self._needed - self._seen.keys()) if self._seen is not None else []
        if not missing:
            return None
        return Reason(
            ReadinessCode.TOPIC_MISSING,
            f"not found in Kafka: {', '.join(missing)}; run `recstream topics create`; this "
            f"worker then continues automatically",
        )
