"""The fleet agent: sends this worker's heartbeat, once a second.

An edge. Every worker follows the fleet topic (`streams.control.heartbeat_follower`). Must not know
what heartbeats are used for.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from registry.errors import RefusedRecord, TransportError
from registry.guardrails.silent_workers import CARRY_SECONDS, carried
from registry.kafka.topics import Topics
from registry.rollout.current_phase import is_compared
from registry.wire.codec import encode
from registry.wire.heartbeats import Heartbeat
from registry.wire.outcome_records import PartitionSums
from streams.comparing.shadow import Shadow
from streams.control.answer_rate import AnswerRate
from streams.delivery.outgoing import Outgoing, Refusal
from streams.delivery.producer import Delivery
from streams.serving.arm_counts import Exposures
from streams.state.rollout_table import RolloutTable
from streams.state.worker_node import Node

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 1.0
"""Between two heartbeats. A guardrail can fail no sooner than the second that the evidence takes to
come here; more often would only write more."""


class FleetAgent:
    """Sends heartbeats; see the module. Set `url` once the pages listen.

    ``is_settled`` says whether an owner knows the state, or has yet to seed it: until then its
    heartbeats renew no lease. ``requests_per_second`` is what this worker answered lately
    (`streams.control.answer_rate`).
    """

    def __init__(
        self,
        topics: Topics,
        node: Node,
        table: RolloutTable,
        delivery: Delivery,
        exposures: Exposures,
        shadow: Shadow,
        is_settled: Callable[[], bool],
        outcomes: Callable[[], tuple[PartitionSums, ...]] = tuple,
    ) -> None:
        self._is_settled = is_settled
        self._topics = topics
        self._node = node
        self._table = table
        self._delivery = delivery
        self._exposures = exposures
        self._shadow = shadow
        self._outcomes = outcomes
        started = str(node.started_at)
        self._instance = f"{node.worker}@{started}#{uuid.uuid4().hex[:8]}"
        self._sent_at: dict[str, float] = {}
        self._rate = AnswerRate()
        self.url = ""

    @property
    def requests_per_second(self) -> float:
        """What this worker answered a second, lately."""
        return self._rate.per_second

    async def beat(
        self,
        reasons: tuple[str, ...],
        lag: int,
        partitions: int | None = None,
        fresh_lag: int | None = None,
        *,
        stopping: bool = False,
    ) -> None:
        """Send this worker's heartbeat.

        Parameters
        ----------
        reasons
            Codes of why it is not ready.
        lag
            Request records that wait on its partitions.
        partitions
            How many of them it has; None if it does not know.
        fresh_lag
            Interactions that it has not read yet; None if it follows none.
        stopping
            Whether it is the last one.
        """
        node, acting = self._node, self._node.acting
        self._rate.note(self._exposures.answered, time.monotonic())
        heartbeat = Heartbeat(
            worker=node.worker,
            instance=self._instance,
            environment=node.origin.environment,
            at=time.time(),
            epoch=acting.epoch if acting else None,
            ready=tuple(sorted(node.ready)),
            failures=dict(node.residency.failures),
            lag=lag,
            requests_per_second=self.requests_per_second,
            owns_control=self._table.is_owner and self._table.recovered and self._is_settled(),
            reasons=reasons,
            url=self.url,
            arms=self._exposures.arms(acting),
            shadow=self._shadow.counts_at(acting.epoch) if acting else None,
            stopping=stopping,
            log_offset=node.view.log.last_offset,
            partitions=partitions,
            outcomes=self._outcomes(),
            fresh_lag=fresh_lag,
        )
        try:
            await self._delivery.send(
                self._outgoing(beat) for beat in (heartbeat, *self._carried(heartbeat))
            )
        except RefusedRecord:
            pass  # counted and reported
        except TransportError:
            pass  # `streams.watch.kafka_contact` tells; the next one says the same and more

    def _outgoing(self, heartbeat: Heartbeat) -> Outgoing:
        topic, key = self._topics.fleet.name, heartbeat.worker.encode()

        def bare(_: Refusal) -> Outgoing:
            less = replace(heartbeat, arms=(), outcomes=(), shadow=None, failures={})
            return Outgoing(topic, key, encode(less))

        return Outgoing(topic, key, encode(heartbeat), instead=bare)

    def _carried(self, own: Heartbeat) -> list[Heartbeat]:
        """Return the counts of workers that are gone, which the owner repeats from time to time."""
        state, now = self._node.view.state, time.time()
        if not own.owns_control or state is None or not is_compared(state):
            return []
        known = {beat.instance: beat for beat in carried(self._node.view.fleet, now, state.epoch)}
        sent_at = {
            instance: self._sent_at.get(instance, beat.at) for instance, beat in known.items()
        }
        due = [known[instance] for instance, at in sent_at.items() if abs(now - at) > CARRY_SECONDS]
        self._sent_at = sent_at | {beat.instance: now for beat in due}
        return due
