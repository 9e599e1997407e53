"""The notice board: everything that an operator of this worker should act on now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from registry.wire.heartbeats import Heartbeat
from streams.watch.fleet_notices import fleet_notices
from streams.watch.notices import Notice
from streams.watch.open_transactions import OpenTransactions
from streams.watch.registry_writable import PublishingCheck
from streams.watch.requests_cut_off import Losses
from streams.watch.topic_watch import TopicWatch


class NoticeBoard:
    """Gathers the notices of all watches.

    Parameters
    ----------
    transactions, losses, publishing, watch
        The watches.
    partitions
        Of the request topic, as configured: used until the broker has been asked.
    fleet
        Returns the latest heartbeat of each worker.
    followers
        Each returns what is wrong with following a topic: items, new items, or those of outcomes.
    fresh
        Returns the notices about fresh interactions.
    """

    def __init__(
        self,
        transactions: OpenTransactions,
        losses: Losses,
        publishing: PublishingCheck,
        watch: TopicWatch,
        partitions: int,
        fleet: Callable[[], Iterable[Heartbeat]],
        followers: Iterable[Callable[[], Notice | None]],
        fresh: Callable[[], Iterable[Notice]] = tuple,
    ) -> None:
        self._fresh = fresh
        self._transactions = transactions
        self._losses = losses
        self._publishing = publishing
        self._watch = watch
        self._partitions = partitions
        self._fleet = fleet
        self._followers = tuple(followers)

    def notices(self) -> tuple[Notice, ...]:
        """Return what an operator should act on, whether or not the worker is ready."""
        found = [
            self._transactions.notice(time.monotonic()),
            self._losses.notice(),
            self._publishing.notice(),
            *(notice() for notice in self._followers),
        ]
        partitions = self._watch.request_partitions or self._partitions
        return (
            *(notice for notice in found if notice is not None),
            *self._watch.notices(),
            *self._fresh(),
            *fleet_notices(self._fleet(), time.time(), partitions),
        )
