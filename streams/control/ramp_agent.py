"""The ramp agent: carries out what `registry.rollout.ramp_decision` decides.

Runs on the worker that owns the control partition. An edge: it looks at the view, and produces the
ramp's commands to the control topic like any other producer; the control agent decides them. It
only remembers what it has just sent, so that a slow broker does not get the same command twice a
second; another owner can continue at any time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import Final, NamedTuple

from registry.kafka.audit_trail import read_trail
from registry.kafka.topics import Topics
from registry.ramp_plans.ramp_stages import stages_of
from registry.rollout.ramp_decision import Look, look, next_commands
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command
from registry.wire.rollout_state import RolloutState
from streams.delivery.outgoing import Outgoing
from streams.delivery.producer import Delivery
from streams.metrics import Metrics
from streams.state.rollout_view import RolloutView

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How old a look may be that is shown: as heartbeats come, so that all who ask share one look."""

AGAIN_SECONDS: Final = 5.0
"""After which an unanswered command is sent again; its id makes the second one a duplicate."""


class _Looked(NamedTuple):
    """What was seen of `state`, and when."""

    state: RolloutState | None
    at: float
    look: Look | None


class RampAgent:
    """Looks at the ramp, and moves it; see the module."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        view: RolloutView,
        delivery: Delivery,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._view = view
        self._delivery = delivery
        self._metrics = metrics
        self._sent_at: dict[str, float] = {}
        self._handed_over: CommandResult | None = None
        self._looked = _Looked(None, 0.0, None)

    def seen(self, now: float) -> Look | None:
        """Return a look at the current state's ramp, at most `LOOK_SECONDS` old; for any thread."""
        looked = self._looked
        if looked.state is not self._view.state or not 0 <= now - looked.at < LOOK_SECONDS:
            looked = self._look(now)
        return looked.look

    def _look(self, now: float) -> _Looked:
        state = self._view.state
        self._looked = looked = _Looked(state, now, look(state, self._view.fleet, now))
        return looked

    async def move(self, now: float) -> None:
        """Send what the ramp commands at `now`, in seconds since the epoch."""
        commands = next_commands(self._view.log, self._view.fleet, now, self._handed_over)
        if not commands:
            self._handed_over = None
        due = [
            command
            for command in commands
            if time.monotonic() - self._sent_at.get(command.command_id, -AGAIN_SECONDS)
            >= AGAIN_SECONDS
        ]
        if not due:
            return
        self._sent_at = {command.command_id: time.monotonic() for command in commands}
        for command in due:
            logger.info("ramp: %s in %s: %s", command.type, command.environment, command.reason)
        await self._delivery.send(
            [
                Outgoing(self._topics.control.name, command.environment.encode(), encode(command))
                for command in due
            ]
        )
        for command in due:
            if command.environment != self._settings.environment:
                self._handed_over = await self._result_of(command)

    async def _result_of(self, command: Command) -> CommandResult | None:
        """Return what became of a command for another environment, if there is a result by now."""
        trail = await asyncio.to_thread(
            read_trail,
            self._settings,
            environment=command.environment,
            types=(command.type,),
            origin=command.origin,
        )
        results = (result for result in trail if result.command_id == command.command_id)
        return next((result for result in results if result.status != "duplicate"), None)

    def show(self, now: float) -> Look | None:
        """Bring the ramp's metrics up to date; return what was seen."""
        state, _, seen = self._look(now)
        metrics = self._metrics
        metrics.guardrail_verdict.clear()
        metrics.ramp_info.clear()
        metrics.ramp_outcome.clear()
        if state is not None and state.ramp is not None and state.ramp.outcome is not None:
            metrics.ramp_outcome.labels(state.environment, state.ramp.outcome).set(1)
        if seen is None or state is None or state.ramp is None:
            metrics.ramp_stage.set(math.nan)
            metrics.ramp_stages.set(math.nan)
            return seen
        ramp = state.ramp
        metrics.ramp_info.labels(
            state.environment, state.canary_version or state.primary_version, seen.stage.kind,
            "true" if ramp.paused else "false",
        ).set(1)  # fmt: skip
        metrics.ramp_stage.set(ramp.stage)
        metrics.ramp_stages.set(len(stages_of(ramp.plan, ramp.environments)))
        for finding in seen.findings:
            metrics.guardrail_verdict.labels(finding.guardrail, finding.verdict).set(1)
        return seen
