"""The seed agent: issues the commands that give an environment its first rollout state.

An edge; `streams.control.seeding` decides. For the owner of the control partition only.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable

from registry.kafka.topics import Topic
from registry.rollout.command_log import ControlLog
from registry.rollout.expected_epoch import NO_EPOCH
from registry.settings import Settings
from registry.versions.store import Store
from registry.wire.codec import encode
from registry.wire.instants import Instant
from streams.control.seeding import next_seed, seed_notice
from streams.delivery.outgoing import Outgoing
from streams.delivery.producer import Delivery
from streams.state.rollout_view import RolloutView

logger = logging.getLogger(__name__)


class SeedAgent:
    """Issues seeds; see the module."""

    def __init__(
        self,
        settings: Settings,
        control: Topic,
        view: RolloutView,
        store: Store,
        delivery: Delivery,
        is_foreign: Callable[[ControlLog], bool],
    ) -> None:
        self._settings = settings
        self._control = control
        self._view = view
        self._store = store
        self._delivery = delivery
        self._is_foreign = is_foreign
        self._seeded_epochs: set[int] = set()
        self._first_id: str | None = None  # of the seed of a first state
        self._compared = False

    async def seed(self) -> None:
        """Issue the next seed, at most one for each state; beside a primary only if it is ours."""
        state = self._view.state
        if state is None and self._is_foreign(self._view.log):
            self._seeded_epochs.clear()  # a seed is refused there, and due again in the next era
            self._first_id = None
            return
        epoch = NO_EPOCH if state is None else state.epoch
        if epoch in self._seeded_epochs or (state is not None and not self._seeded_epochs):
            return
        latest = await asyncio.to_thread(self._store.latest)
        seed = next_seed(self._settings, state, latest, f"seed-{uuid.uuid4()}")
        if seed is not None:
            record = Outgoing(self._control.name, seed.environment.encode(), encode(seed))
            if state is None:
                self._first_id = seed.command_id
            await self._delivery.send([record])
        self._seeded_epochs.add(epoch)

    @property
    def is_settled(self) -> bool:
        """Whether no first state is about to come: there is one, or no seed, or it was refused.

        Until then nobody may take "no state" for an answer, however long a busy worker takes. On a
        foreign control topic none comes before an operator acts.
        """
        log = self._view.log
        if log.state is not None or self._is_foreign(log):
            return True
        decided = {decided.result.command_id for decided in log.remembered}
        return NO_EPOCH in self._seeded_epochs and self._first_id in {None, *decided}

    def compare(self, started_at: Instant) -> None:
        """Say once, at a restart, that the environment's variables no longer decide.

        Parameters
        ----------
        started_at
            When this worker did.
        """
        state = self._view.state
        if self._compared or state is None:
            return
        self._compared = True
        is_older = state.updated_at is not None and state.updated_at < started_at
        if is_older and (notice := seed_notice(self._settings, state)):
            logger.warning("%s", notice)
