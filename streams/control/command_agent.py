"""The control agent: decides the commands of the control topic, one after the other.

Runs on the worker that owns the control partition. An edge: it decodes, asks the registry about the
versions named, calls `registry.rollout.command_log.follow`, writes the table, reports the result.
Must not know the rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import faust
from faust.types import EventT
from msgspec.structs import replace

from registry.epochs import epoch_of, era_of
from registry.error_codes import CommandCode
from registry.errors import RecordError, RefusedCommand, RefusedRecord, TransportError
from registry.guardrails.fleet_counts import traffic_of
from registry.guardrails.predecessor_workers import predecessors
from registry.ids import is_version_name
from registry.kafka.topics import Topics
from registry.ramp_plans.outcome_requirements import OutcomeTerms, needs_outcomes, require_outcomes
from registry.rollout.command_log import Decision, follow, with_report
from registry.rollout.command_transitions import versions_named
from registry.rollout.rollout_transition import refusal_beside
from registry.wire.codec import decode, encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command, Retrain, Rollback, Rollout
from registry.wire.field_types import AnswerError
from registry.wire.instants import Instant
from registry.wire.ramp_values import Ramp
from registry.wire.rollout_state import RolloutState
from streams.control.version_problems import problem_of
from streams.delivery.dead_letters import dead_letter_record
from streams.delivery.outgoing import Outgoing, Refusal
from streams.delivery.producer import Delivery, send_until_confirmed
from streams.metrics import Metrics
from streams.outcomes.experiment_report import EndedExperiment
from streams.serving.batch_results import Origin
from streams.serving.residency import Residency
from streams.state.rollout_table import RolloutTable
from streams.state.rollout_view import RolloutView

logger = logging.getLogger(__name__)

MAX_COMMAND_BYTES: Final = 65_536
"""No command needs more: its fields are bounded."""


class Training(Protocol):
    """What the control agent needs of the retrain agent."""

    def refusal(self, command: Retrain) -> RefusedCommand | None:
        """Return why the run of `command` cannot start now."""

    def start(self, command: Retrain) -> None:
        """Start a run in the background."""


class Reports(Protocol):
    """What the control agent needs to report experiments that have ended."""

    def look(self, before: RolloutState | None, result: CommandResult) -> EndedExperiment | None:
        """Return the experiment that a command ended, if there is something to report."""

    def write(self, ended: EndedExperiment) -> None:
        """Write its report in the background."""


class ControlAgent:
    """Decides commands; see the module."""

    def __init__(
        self,
        topics: Topics,
        origin: Origin,
        view: RolloutView,
        residency: Residency,
        table: RolloutTable,
        delivery: Delivery,
        training: Training,
        metrics: Metrics,
        on_failure: Callable[[Exception], None],
        topic_id: Callable[[bool], Awaitable[str | None]],
        outcome_terms: Callable[[], OutcomeTerms],
        reports: Reports,
    ) -> None:
        self._topics = topics
        self._origin = origin
        self._view = view
        self._residency = residency
        self._table = table
        self._delivery = delivery
        self._training = training
        self._metrics = metrics
        self._on_failure = on_failure
        self._topic_id = topic_id
        self._outcome_terms = outcome_terms
        self._reports = reports

    def agent(self, app: faust.App, channel: Any) -> None:
        """Register the control agent."""

        @app.agent(channel, name="decide-commands")
        async def decide_commands(stream: Any) -> None:
            # Faust acknowledges what an agent was at when it is stopped; a command would be lost
            async for event in stream.noack().events():
                try:
                    await self._decide(event)
                except TransportError as error:
                    self._on_failure(error)
                    await asyncio.Event().wait()  # the next owner decides this one and the others
                except Exception:  # an agent that dies decides no further command
                    logger.exception("control record at offset %s", event.message.offset)
                    self._metrics.commands.labels("", "failed").inc()
                event.ack()

    async def _decide(self, event: EventT[Any]) -> None:
        message = event.message
        try:
            command = decode(Command, event.value, MAX_COMMAND_BYTES)
        except RecordError as error:
            await self._put_aside(message, error)
            return
        if command.environment != self._origin.environment:
            return
        try:
            topic_id = await self._id_of_topic(message.offset)
            problems = await self._problems(command)
            refusal = await self._refusal(command)
            before = self._view.state
            decision = self._follow(command, message, problems, refusal, topic_id)
            ended = self._ended_by(decision, before)
            if ended is not None:
                decision = with_report(decision, ended.state.epoch)
            self._table.write_log(decision.log)
            if ended is not None:
                self._reports.write(ended)
            if isinstance(command, Retrain) and decision.is_new and decision.result.error is None:
                self._training.start(command)
            result = decision.result
        except Exception as error:  # a bug must not leave the issuer waiting for ever
            logger.exception("command %s at offset %s", command.command_id, message.offset)
            result = self._after_a_bug(command, message, error)
        await self._report(result)

    def _follow(
        self,
        command: Command,
        message: Any,
        problems: Mapping[str, str],
        refusal: RefusedCommand | None,
        topic_id: str | None = None,
    ) -> Decision:
        return follow(
            self._view.log,
            command,
            offset=message.offset,
            at=_time_of(message),
            problems=problems,
            refusal=refusal,
            topic_id=topic_id,
            traffic=traffic_of(self._view.fleet, time.time()),
        )

    def _ended_by(self, decision: Decision, before: RolloutState | None) -> EndedExperiment | None:
        """Return the experiment to be reported; None too if a bug prevents that."""
        if not decision.is_new:
            return None
        try:
            return self._reports.look(before, decision.result)
        except Exception:  # a rollback matters more than its report
            logger.exception("no report: command %s", decision.result.command_id)
            return None

    async def _refusal(self, command: Command) -> RefusedCommand | None:
        """Return why this fleet cannot carry a command out, whatever the rules say."""
        if isinstance(command, Retrain):
            return self._training.refusal(command)
        if isinstance(command, Rollout) and isinstance(command.ramp, Ramp):
            try:
                if needs_outcomes(command.ramp):
                    require_outcomes(command.ramp, await asyncio.to_thread(self._outcome_terms))
            except RefusedCommand as refusal:
                return refusal
        older = predecessors(self._view.fleet, time.time())
        return refusal_beside(command, {heartbeat.worker for heartbeat in older})

    async def _id_of_topic(self, offset: int) -> str | None:
        """Return the control topic's id; asked again where `offset` is lower, as in a new topic."""
        last = self._view.log.last_offset
        return await self._topic_id(epoch_of(era_of(last), offset) <= last)

    def _after_a_bug(self, command: Command, message: Any, bug: Exception) -> CommandResult:
        """Return what became of a command: what the log says, or that it is refused.

        The refusal is remembered, so that a ramp rolls back instead of retrying for ever.
        """
        refusal = RefusedCommand(repr(bug), CommandCode.INTERNAL)
        decision = self._follow(command, message, {}, refusal)
        try:
            self._table.write_log(decision.log)
        except Exception:  # the answer matters more
            logger.exception("could not store the refusal of command %s", command.command_id)
        return decision.result

    async def _problems(self, command: Command) -> dict[str, str]:
        problems = {}
        for version in versions_named(self._view.state, command):
            if is_version_name(version):
                problem = await problem_of(
                    version, self._residency, from_memory=isinstance(command, Rollback)
                )
                if problem is not None:
                    problems[version] = problem
        return problems

    async def _report(self, result: CommandResult, *more: Outgoing) -> None:
        self._metrics.commands.labels(result.type, result.status).inc()
        topic, key = self._topics.control_results.name, result.environment.encode()

        def without_states(_: Refusal) -> Outgoing:
            return Outgoing(topic, key, encode(replace(result, before=None, after=None)))

        outgoing = Outgoing(topic, key, encode(result), instead=without_states)
        with contextlib.suppress(RefusedRecord):  # counted and reported; the command stands
            await send_until_confirmed(self._delivery, [outgoing, *more])

    async def _put_aside(self, message: Any, error: RecordError) -> None:
        """Dead-letter a record that is not a command, and report it: its sender may be waiting."""
        self._metrics.dead_letters.labels(message.topic, error.code).inc()
        dead = dead_letter_record(
            self._topics.dead_letter.name, message, error, self._origin.worker
        )
        why = f"offset {message.offset}: {error}"
        state = self._view.state
        rejection = CommandResult(
            command_id="",
            type="",
            environment=self._origin.environment,
            status="rejected",
            epoch=state.epoch if state else None,
            issued_by="",
            at=_time_of(message),
            error=AnswerError(error.code, why),
        )
        await self._report(rejection, dead)


def _time_of(message: Any) -> Instant:
    return Instant.of(message.timestamp)
