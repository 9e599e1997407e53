"""What Kafka's ACLs can allow, and the sentence when they do not. Decides only."""

from __future__ import annotations

from typing import Literal, TypeAlias

Operation: TypeAlias = Literal[
    "READ", "WRITE", "CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER", "ALTER_CONFIGS"
]


def denial(operation: Operation, kind: str, name: str) -> str:
    """Return the sentence for what Kafka does not allow.

    Examples
    --------
    >>> denial("READ", "topic", "reco.requests")[:62]
    'Kafka does not allow this user READ on topic reco.requests (au'
    """
    return (
        f"Kafka does not allow this user {operation} on {kind} {name} (authorization failed); "
        "`recstream topics acls --principal User:NAME --for ROLE` prints what to allow"
    )
