"""What several steps of the tour do: send a command, follow a ramp, train in this process."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ops.clients import kafka_client
from ops.clients.fleet_observer import observe
from ops.demo import demo_fleet
from ops.demo.demo_fleet import DemoFleet
from ops.demo.tour_screen import Screen
from ops.views.ramp_progress import Ended, RampDisplay, follow_ramp
from ops.views.training_progress import StageDisplay
from registry.errors import RecstreamError
from registry.ids import UserId
from registry.kafka.topic_admin import create_topics
from registry.kafka.topics import topics_of
from registry.policy_reading import read_rollout_file
from registry.settings import read_settings
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command
from registry.wire.training_records.training_messages import TrainingResult
from training.runs.run_rules import parameters_of
from training.runs.run_stages import train

LOOK_SECONDS: Final = 0.5
"""Time between two looks at a ramp; short, because the ramp's holds are short, too."""


def send(fleet: DemoFleet, command: Command) -> CommandResult:
    """Send a command; return its result.

    Raises
    ------
    RecstreamError
        If it was rejected.
    """
    result = kafka_client.send_command(fleet.settings, command)
    if result.error is not None:
        raise RecstreamError(f"{command.type}: {result.error.message} ({result.error.code})")
    return result


def start_ramp(
    fleet: DemoFleet, version: str, reason: str, file: Path = demo_fleet.RAMP
) -> tuple[str, int]:
    """Start a ramp of `version` by the plan in `file`; return its id and its first epoch."""
    fields = read_rollout_file(file).command_fields(fleet.settings.environment)
    fields |= {"canary_version": version, "reason": reason}
    command = kafka_client.new_command(fleet.settings, "rollout", **fields)
    result = send(fleet, command)
    return command.command_id, result.epoch or 0


def show_ramp(fleet: DemoFleet, screen: Screen, ramp_id: str) -> Ended:
    """Show a ramp until it ends."""
    with RampDisplay(screen.console) as display:
        return follow_ramp(
            lambda: observe(fleet.settings),
            ramp_id,
            display.show,
            fleet.group.require_running,
            LOOK_SECONDS,
        )


def train_here(
    variables: Mapping[str, str],
    prefix: str,
    ratings: Iterable[tuple[UserId, bytes]],
    described: str,
    screen: Screen,
) -> str:
    """Send `ratings` to topics with another prefix, train on them, and return the version.

    The registry is the fleet's own.
    """
    settings = read_settings({**variables, "RECSTREAM_TOPIC_PREFIX": prefix})
    create_topics(settings)
    topic = topics_of(settings).interactions
    count = kafka_client.produce_all(settings, topic, ratings)
    screen.say(f"{topic.name} holds {count:,} ratings, {described}")
    with StageDisplay(screen.console) as display:
        result = train(
            settings,
            parameters_of(settings),
            run_id=str(uuid.uuid4()),
            incumbent=None,
            report=display.report,
            created_by=kafka_client.who(),
        )
        display.finish(result)
    return version_of(result)


def version_of(result: TrainingResult | None) -> str:
    """Return the version that a training has published.

    Raises
    ------
    RecstreamError
        If it has not.
    """
    if result is None or result.version is None:
        reason = f"{result.reason} ({result.code})" if result else "it has not ended"
        raise RecstreamError(f"the training published nothing: {reason}")
    return result.version
