"""Which percentages of users are valid, under either bucketing. Pure."""

from __future__ import annotations

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.wire.field_types import Bucketing


def require_percentage(field: str, percentage: float, bucketing: Bucketing) -> None:
    """Refuse a percentage that lies between two buckets, or that is none; `field` names it.

    Raises
    ------
    RefusedCommand
        With what was seen and what is allowed.
    """
    if not 0 <= percentage <= 100:
        raise RefusedCommand(
            f"{field} {percentage:g}: must be between 0 and 100", CommandCode.BAD_PERCENTAGE
        )
    steps = percentage if bucketing == "modulo" else percentage * 100
    if abs(steps - round(steps)) > 1e-6:
        allowed = (
            "whole percentages only under bucketing modulo; use bucketing hash for steps of 0.01"
            if bucketing == "modulo"
            else "must be a multiple of 0.01"
        )
        raise RefusedCommand(f"{field} {percentage:g}: {allowed}", CommandCode.BAD_PERCENTAGE)
