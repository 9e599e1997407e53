"""Whether Kafka serves this worker: it answers, lets the worker in, and has its topics."""

from __future__ import annotations

import time

from streams.watch.kafka_access import AccessCheck
from streams.watch.kafka_contact import Contact
from streams.watch.notices import Reason
from streams.watch.topic_watch import TopicWatch


class KafkaHealth:
    """Combines what the worker's watches have found."""

    def __init__(self, watch: TopicWatch, access: AccessCheck, contact: Contact) -> None:
        self._watch = watch
        self._access = access
        self._contact = contact

    def reason(self) -> Reason | None:
        """Return what is wrong with Kafka itself; None if nothing is."""
        missing = self._watch.missing()  # a broker that confirms nothing has shown this
        refused = self._access.reason()  # the cause of a silence says more than the silence
        return missing or refused or self._contact.reason(time.monotonic(), time.time())

    def is_lost(self, now: float) -> bool:
        """Tell whether Kafka has been unreachable for longer than a worker should wait."""
        return self._contact.is_lost(now) and self._watch.missing() is None
