"""Where commands come from, and the names that the fleet gives itself in the audit trail.

An origin decides how a command is judged; a name is for people. Whether a record may claim an
origin, Kafka's ACLs decide: see `docs/explanation/security.md`.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Origin: TypeAlias = Literal["operator", "ramp", "timer", "seed", "training"]
"""``operator``: a person or their program; ``ramp``: a ramp that moves; ``timer``: a run that is
due; ``seed``: the settings of an environment's first start; ``training``: a run that announces its
version."""

RAMP: Final = "ramp"
SEEDER: Final = "environment"
TIMER: Final = "timer@"
TRAINER: Final = "retrain@"
"""``issued_by`` of the fleet's own commands; the last two end with the worker's name."""


def operator() -> Origin:
    """Return the default origin. As a factory, so that records always state their origin."""
    return "operator"


def implied_origin(issued_by: str) -> Origin:
    """Return the origin that `issued_by` implies in a record that states none.

    >>> implied_origin("timer@worker-1"), implied_origin("anna@laptop")
    ('timer', 'operator')
    """
    by_name: dict[str, Origin] = {RAMP: "ramp", SEEDER: "seed"}
    by_prefix: dict[str, Origin] = {TIMER: "timer", TRAINER: "training"}
    for prefix, origin in by_prefix.items():
        if issued_by.startswith(prefix):
            return origin
    return by_name.get(issued_by, "operator")
