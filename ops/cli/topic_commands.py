"""``recstream topics``: create, check, repair and grow the topics, and print their ACLs.

Knows options and what is shown. What a topic must look like is in `registry.kafka`.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with
from registry.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.kafka.partitioners import PartitionerSeen
    from registry.kafka.topics import Topic
    from registry.settings import Settings

PRINCIPAL = re.compile(r"\w+:[^\s'\"]+")


class RoleName(enum.StrEnum):
    """The roles of `registry.kafka.permissions`, as choices of the command line."""

    WORKER = "worker"
    APPLICATION = "application"
    CATALOGUE = "catalogue"
    OPERATOR = "operator"
    TRAINER = "trainer"


topics = typer.Typer(no_args_is_help=True, help="Create, check, repair and grow the Kafka topics.")


@topics.command()
def create(as_json: AsJson = False, bootstrap: Bootstrap = None) -> None:
    """Create the missing topics, with the required partitions and configuration."""
    from ops.clients import kafka_client as client
    from ops.views import terminal
    from registry.kafka.topic_admin import create_topics

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    client.require_broker(settings)
    created = create_topics(settings)
    if as_json:
        terminal.print_json({"created": created})
        return
    for name in created:
        terminal.out.print(f"created {name}")
    if not created:
        terminal.out.print(
            "all topics already exist; `recstream topics check` checks their configuration"
        )


@topics.command()
def check(as_json: AsJson = False, bootstrap: Bootstrap = None) -> None:
    """Compare the topics with the requirements; exit code 1 if one does not meet them.

    Reads the latest records of requests and interactions, too: a user's must come to one worker, so
    both producers must choose partitions alike.
    """
    from ops.clients import kafka_client as client
    from ops.views import terminal
    from registry.kafka.partitioners import disagreement
    from registry.kafka.topic_admin import check_topics
    from registry.kafka.topic_upkeep import faults_of

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    client.require_broker(settings)
    faults = faults_of(settings)
    problems = list(dict.fromkeys([*check_topics(settings), *map(str, faults)]))
    seen = _look_at_partitioners(settings, problems)
    fresh, outcomes = settings.fresh, settings.outcomes
    if seen and (wrong := disagreement(*seen, fresh=fresh, outcomes=outcomes)):
        problems.append(wrong)
    if as_json:
        partitioners = [
            {"topic": topic.topic, "partitioner": topic.partitioner, "share": topic.share,
             "records": topic.records}
            for topic in seen
        ]  # fmt: skip
        terminal.print_json({"wrong": problems, "partitioners": partitioners})
    elif not problems:
        terminal.out.print("all topics are correct")
    for topic in [] if as_json else seen:
        terminal.out.print(str(topic), soft_wrap=True)
    for sentence in [] if as_json else problems:
        terminal.err.print(sentence)
    if not as_json and any(fault.is_mendable for fault in faults):
        terminal.err.print("`recstream topics mend` corrects the topic configuration")
    if problems:
        raise typer.Exit(1)


def _look_at_partitioners(settings: Settings, problems: Sequence[str]) -> list[PartitionerSeen]:
    """Return by which partitioners requests and interactions came; empty if that cannot be seen."""
    from registry.errors import AccessRefused, TransportError
    from registry.kafka.partitioner_look import look_at_partitioner
    from registry.kafka.topics import topics_of

    names = topics_of(settings)
    try:
        return [
            look_at_partitioner(settings, each) for each in (names.requests, names.interactions)
        ]
    except AccessRefused:  # this role may not read them
        return []
    except TransportError:
        if problems:  # such as that one of them is missing
            return []
        raise


@topics.command()
def mend(as_json: AsJson = False, bootstrap: Bootstrap = None) -> None:
    """Correct the topic configuration that `topics check` reports; records are not touched.

    Kafka then compacts the rollout table's changelog within minutes, which removes the leases and
    heartbeats that older releases wrote to it. Partitions and replication factors stay as they
    are: use Kafka's own tools for them.
    """
    from ops.clients import kafka_client as client
    from ops.views import terminal
    from registry.kafka.topic_upkeep import mend_topics

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    client.require_broker(settings)
    mended = mend_topics(settings)
    if as_json:
        rows = [
            {"topic": fault.topic, "config": fault.setting, "was": fault.seen, "is": fault.wanted}
            for fault in mended
        ]
        terminal.print_json({"mended": rows})
        return
    for fault in mended:
        terminal.out.print(
            f"{fault.topic}: {fault.setting} changed from {fault.seen} to {fault.wanted}"
        )
    if not mended:
        terminal.out.print("nothing to correct")


@topics.command()
def grow(
    partitions: Annotated[int, typer.Argument(min=1, max=1000, metavar="N")],
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Grow all topics keyed by user to N partitions, those of requests last.

    Safe under traffic and safe to repeat. Workers pick up the new partitions by themselves within
    30 seconds. Kafka cannot reduce the number of partitions, so a smaller N is refused. Some users'
    requests move to another partition.

    Examples
    --------
      recstream topics grow 12
    """
    from ops.clients import kafka_client as client
    from ops.views import terminal
    from registry.kafka.partition_growth import grow_topics

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    client.require_broker(settings)

    def show(topic: Topic) -> None:
        if not as_json:
            terminal.out.print(f"{topic.name} has {partitions} partitions")

    grown = grow_topics(settings, partitions, show)
    if as_json:
        terminal.print_json({"grown": [topic.name for topic in grown], "partitions": partitions})
    elif not grown:
        terminal.out.print(f"all topics keyed by user already have {partitions} partitions")


@topics.command()
def acls(
    principal: Annotated[
        str, typer.Option(metavar="User:NAME", help="The principal to allow, as Kafka names it.")
    ],
    role: Annotated[
        RoleName | None, typer.Option("--for", help="Its role; default: a section for each role.")
    ] = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Print the kafka-acls.sh commands that grant a principal exactly what a role needs.

    Nothing is sent to Kafka. Topic names follow RECSTREAM_TOPIC_PREFIX, RECSTREAM_CONTROL_PREFIX
    and ENVIRONMENT. kafka-acls.sh may need --command-config with an administrator's credentials.

    Examples
    --------
      recstream topics acls --principal User:recstream --for worker
      recstream topics acls --principal User:shop --for application --json
    """
    from ops.views import terminal
    from registry.kafka.permissions import ROLES, Role, acl_commands, permissions_of

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    if not PRINCIPAL.fullmatch(principal):
        raise ConfigurationError(
            f"--principal {principal!r}: must have the form User:NAME, without spaces or quotes"
        )
    roles: tuple[Role, ...] = ROLES if role is None else (role.value,)
    if as_json:
        terminal.print_json(
            [
                {
                    "role": each,
                    "principal": principal,
                    "resource_type": permission.kind,
                    "name": permission.name,
                    "pattern_type": "prefixed" if permission.prefixed else "literal",
                    "operation": permission.operation.lower(),
                }
                for each in roles
                for permission in permissions_of(settings, each)
            ]
        )
        return
    for each in roles:
        if role is None:
            terminal.out.print(f"# {each}")
        for line in acl_commands(settings, each, principal):
            terminal.out.print(line, soft_wrap=True)
