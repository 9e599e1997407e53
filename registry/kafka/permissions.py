"""What Kafka must allow each role: the ACLs.

Decides only. Must not know Kafka's clients. A role is what a principal does: a ``worker`` answers,
decides and trains; an ``application`` asks, reads answers and sends interactions; a ``catalogue``
maintains the items; an ``operator`` uses the commands; a ``trainer`` runs `recstream train` on a
separate machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from registry.connection.acl_denials import Operation
from registry.kafka.topics import changelog_name, changelog_of, topics_of
from registry.settings import Settings

Role: TypeAlias = Literal["worker", "application", "catalogue", "operator", "trainer"]

ROLES: Final[tuple[Role, ...]] = ("worker", "application", "catalogue", "operator", "trainer")

SPELLED: Final = {
    "DESCRIBE_CONFIGS": "DescribeConfigs",
    "ALTER_CONFIGS": "AlterConfigs",
}
"""How `kafka-acls.sh` spells what is not a single word."""

CONFIGS: Final[Operation] = "DESCRIBE_CONFIGS"
"""Needed to check the topics. DESCRIBE itself comes with READ, WRITE and ALTER."""

BY_ROLE: Final[dict[Role, dict[str, tuple[Operation, ...]]]] = {
    "worker": {
        "requests": (CONFIGS, "READ"),
        "responses": (CONFIGS, "WRITE"),
        "interactions": (CONFIGS, "READ"),
        "control": (CONFIGS, "READ", "WRITE"),
        "control_results": (CONFIGS, "READ", "WRITE"),
        "shadow": (CONFIGS, "WRITE"),
        "dead_letter": (CONFIGS, "WRITE"),
        "fleet": (CONFIGS, "READ", "WRITE"),
        "items": (CONFIGS, "READ"),
        "outcomes": (CONFIGS, "DESCRIBE"),
        "new_items": (CONFIGS, "DESCRIBE"),
    },
    "application": {"requests": ("WRITE",), "responses": ("READ",), "interactions": ("WRITE",)},
    "catalogue": {"items": ("READ", "WRITE")},
    "operator": {},  # all topics: it creates them
    "trainer": {
        "interactions": ("READ",),
        "control": ("READ", "WRITE"),
        "control_results": ("READ",),
        "items": ("READ",),
    },
}
"""By role, what it does with which topic of `registry.kafka.topics.Topics`."""

OPERATOR: Final[tuple[Operation, ...]] = (
    CONFIGS,
    "CREATE",
    "ALTER",
    "ALTER_CONFIGS",
    "READ",
    "WRITE",
)


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One thing that a principal may do. ``prefixed``: with all names that begin with ``name``.

    ``kind`` is spelled as `kafka-acls.sh` spells its option.
    """

    kind: Literal["topic", "group", "transactional-id"]
    name: str
    prefixed: bool
    operation: Operation


def permissions_of(settings: Settings, role: Role) -> tuple[Permission, ...]:
    """Return what `role` needs, and no more, on the topics and groups that `settings` name."""
    return tuple(sorted(set(_needed(settings, role))))


def _needed(settings: Settings, role: Role) -> Iterator[Permission]:
    for name, operations in _topics(settings, role):
        for operation in operations:
            yield Permission("topic", name, False, operation)
    if role == "worker":
        yield Permission("group", serving_group(settings), False, "READ")
    if role in ("worker", "trainer"):
        yield Permission("group", training_group(settings), False, "READ")
    if role == "operator":
        yield Permission("group", ingest_group(settings, ""), True, "READ")
        yield Permission("transactional-id", replay_id(settings), False, "WRITE")
    yield Permission("group", reader_group(settings, ""), True, "DESCRIBE")


def _topics(settings: Settings, role: Role) -> Iterator[tuple[str, tuple[Operation, ...]]]:
    topics = topics_of(settings)
    if role == "operator":
        yield from ((topic.name, OPERATOR) for topic in (*topics, changelog_of(settings)))
    for part, operations in BY_ROLE[role].items():
        yield getattr(topics, part).name, operations
    if role == "worker" and settings.outcomes == "on":
        yield topics.responses.name, ("READ",)
        yield topics.outcomes.name, ("READ", "WRITE")
    if role == "worker" and settings.new_items == "on":
        yield topics.new_items.name, ("READ", "WRITE")
    if role == "worker":
        yield changelog_name(settings), (CONFIGS, "CREATE", "READ", "WRITE")


def serving_group(settings: Settings) -> str:
    """Return the group of the workers of an environment."""
    return f"{settings.topic_prefix}-{settings.environment}"


def training_group(settings: Settings) -> str:
    """Return the group whose one partition is the training lock."""
    return f"{serving_group(settings)}-training"


def ingest_group(settings: Settings, file_id: str) -> str:
    """Return the group that keeps how much of a file was sent."""
    return f"{settings.topic_prefix}-ingest-{file_id}"


def replay_id(settings: Settings) -> str:
    """Return the transactional id of whoever replays or drops dead letters; one at a time."""
    return f"{topics_of(settings).dead_letter.name}.dealer"


def reader_group(settings: Settings, name: str) -> str:
    """Return the group of a client that only reads; required by librdkafka, never joined."""
    return f"{settings.topic_prefix}-reader-{name}"


def acl_commands(
    settings: Settings, role: Role, principal: str, tool: str = "kafka-acls.sh"
) -> list[str]:
    """Return the commands of Kafka's own tool that allow `principal` what `role` needs.

    Resources with the same operations share a command.
    """
    by_resource: dict[tuple[str, str, bool], list[str]] = {}
    for permission in permissions_of(settings, role):
        by_resource.setdefault((permission.kind, permission.name, permission.prefixed), []).append(
            permission.operation
        )
    by_operations: dict[tuple[str, bool, tuple[str, ...]], list[str]] = {}
    for (kind, name, prefixed), operations in by_resource.items():
        by_operations.setdefault((kind, prefixed, tuple(operations)), []).append(name)
    begin = f"{tool} --bootstrap-server {settings.kafka_bootstrap_servers} --add"
    return [
        " ".join(
            [
                begin,
                f"--allow-principal '{principal}'",
                *(f"--operation {SPELLED.get(name, name.title())}" for name in operations),
                *(f"--{kind} {name}" for name in names),
                *(["--resource-pattern-type prefixed"] if prefixed else []),
            ]
        )
        for (kind, prefixed, operations), names in by_operations.items()
    ]
