"""The plan of a ramp as tables."""

from __future__ import annotations

from rich.console import Console

from ops.views.ramp_plan_tables import plan_tables
from registry.rollout.ramp_dry_run import plan_of
from registry.wire.commands import Rollout
from registry.wire.ramp_values import Ramp


def test_the_plan_is_shown_with_its_figures() -> None:
    ramp = Ramp(steps=(1.0, 50.0, 100.0), hold_seconds=600)
    environments = ("production", "eu")
    command = Rollout("c", "me", canary_version="v0.2", ramp=ramp, environments=environments)
    console = Console(width=120)
    with console.capture() as captured:
        for table in plan_tables(plan_of(command, 1000)):
            console.print(table)
    shown = captured.get()
    for part in ("production → eu", "1 h, at most", "5 s from the evidence", "500", "error rate"):
        assert part in shown
