"""A control topic that was recreated, or is another cluster's: its commands are refused. Pure.

Only ``begin_era`` is decided there; see `registry.epochs` for what an era is.
"""

from __future__ import annotations

from typing import Final, NoReturn

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand

FOREIGN_TOPIC: Final = (
    "the control topic is not the one whose offsets the epochs count: it was recreated, or this "
    "is another cluster. Serving continues, but no command is decided until an operator confirms "
    "the current topic with `recstream rollout begin-era`"
)
"""Code and words of a refusal, and of readiness."""


def is_foreign(known: str | None, present: str | None) -> bool:
    """Tell whether the control topic is not the one whose offsets a log counts.

    Parameters
    ----------
    known
        The topic's id in the log; None in a log of an earlier release, which takes any.
    present
        Its id at the broker; None at a broker that gives none, where nobody can tell.
    """
    return known is not None and present is not None and known != present


def require_known_topic(known: str | None, present: str | None) -> None:
    """Refuse a command on a foreign control topic; arguments as for :func:`is_foreign`."""
    if is_foreign(known, present):
        raise RefusedCommand(FOREIGN_TOPIC, CommandCode.FOREIGN_CONTROL_TOPIC)


def refuse_same_topic() -> NoReturn:
    """Refuse a ``begin_era`` on the topic that the log follows already."""
    raise RefusedCommand(
        "begin_era: the control topic is still the one whose offsets the epochs count",
        CommandCode.SAME_CONTROL_TOPIC,
    )
