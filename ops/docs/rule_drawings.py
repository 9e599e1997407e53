"""The rules as tables and diagrams on the pages about rollouts, generated from the code: ``make
docs``.

Knows how the tables of `registry.rollout.command_transitions` and `registry.rollout.ramp_decision`,
the phases' diagram and the guide's plan are shown as Markdown. A test compares.
"""

from __future__ import annotations

import io
import math
import re
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final, get_args

from rich.console import Console

from ops.docs.markdown import ROOT, table
from ops.views.ramp_plan_tables import plan_tables
from registry.policy_reading import read_rollout_file
from registry.ramp_plans.ramp_stages import SENTENCES
from registry.rollout.command_transitions import ROWS, TRANSITIONS, RefusingCell, Transition
from registry.rollout.current_phase import Phase
from registry.rollout.ramp_decision import ACTIONS, Moment
from registry.rollout.ramp_dry_run import DryRun, plan_of
from registry.wire.commands import Rollout
from registry.wire.ramp_values import Verdict

GUIDE: Final = ROOT / "docs" / "ROLLOUT_GUIDE.md"
DRAWN: Final = (ROOT / "docs" / "explanation" / "ramps.md", GUIDE)
"""The pages that hold drawn parts."""

USERS: Final = 200_000
"""The guide's users."""

RATES: Final = (500, 20)
"""The guide's requests a second, of all users together."""

MARK: Final = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
"""What stands around a drawn part of a page."""


def transition_table() -> str:
    """Return phase × command as a table: what the cell does, or the code of its refusal."""
    groups = _groups()
    head = ["", *(" or ".join(f"`{phase}`" for phase in phases) for phases in groups.values())]
    lines = [
        [f"`{command}`", *(_cell(ROWS[phases[0]][command]) for phases in groups.values())]
        for command in ROWS["empty"]
    ]
    return table(head, lines)


def sentences() -> str:
    """Return each kind of stage with its sentence."""
    return table(["stage", "what happens"], [[f"`{kind}`", SENTENCES[kind]] for kind in SENTENCES])


def action_table() -> str:
    """Return moment × verdict as a table."""
    moments: tuple[Moment, ...] = get_args(Moment)
    verdicts: tuple[Verdict, ...] = get_args(Verdict)
    lines = [
        [f"`{moment}`", *(ACTIONS[moment, verdict].replace("_", " ") for verdict in verdicts)]
        for moment in moments
    ]
    return table(["", *(f"`{verdict}`" for verdict in verdicts)], lines)


def diagram() -> str:
    """Return the arrows between the phases, in Mermaid's text; those to itself are left out."""
    groups = _groups().values()
    name_of = {phase: _name(phases) for phases in groups for phase in phases}
    arrows = {
        (name_of[before], command, name_of[after])
        for (before, command), cell in TRANSITIONS.items()
        if isinstance(cell, Transition)
        for after in cell.to
    }
    labels: dict[tuple[str, str], list[str]] = {}
    for before, command, after in sorted(arrows):
        if before != after:
            labels.setdefault((before, after), []).append(command)
    names = {_name(phases): " / ".join(phases) for phases in groups}
    lines = ["stateDiagram-v2", "    direction LR"]
    lines += [f'    state "{shown}" as {name}' for name, shown in names.items() if name != shown]
    lines += [
        f"    {before} --> {after}: {', '.join(commands)}"
        for (before, after), commands in labels.items()
    ]
    return "```mermaid\n" + "\n".join(lines) + "\n```"


@cache
def plan() -> str:
    """Return what the dry run says of the guide's plan."""
    console = Console(file=io.StringIO(), width=100, highlight=False)
    for part in plan_tables(_planned()):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    return "\n".join(["```text", *lines, "```"])


def step_times() -> str:
    """Return how long the steps of the guide's plan take, at each of `RATES`."""
    planned = _planned()
    needed = max([planned.min_requests, *(need.to_pass or 0 for need in planned.needs)])
    lines = []
    for stage in planned.stages:
        if stage.kind == "stepping" and stage.percentage < 100:
            waits = [math.ceil(needed / (rate * stage.percentage / 100)) for rate in RATES]
            lines.append(
                [f"{stage.percentage:g} %"]
                + [_wait(wait, stage.hold_seconds, stage.at_most_seconds) for wait in waits]
            )
    head = ["step", *(f"at {rate} requests a second" for rate in RATES)]
    return f"{needed:,} requests of the canary are needed in each step.\n\n" + table(head, lines)


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "transitions": transition_table,
    "stages": sentences,
    "actions": action_table,
    "diagram": diagram,
    "plan": plan,
    "step_times": step_times,
}
"""By the name in a page's mark: the text beneath it."""


def drawn(page: str) -> str:
    """Return the text of a page with all marked parts drawn again.

    Raises
    ------
    KeyError
        If a mark names no part.
    """
    return MARK.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", page)


def write() -> None:
    """Draw the parts of all pages again."""
    for page in DRAWN:
        page.write_text(drawn(page.read_text("utf-8")), "utf-8")


@cache
def _planned() -> DryRun:
    """Return the plan of the guide's first rollout file."""
    found = re.search(r"^```yaml\n(.*?)^```", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ramp.yaml"
        file.write_text(found[1], "utf-8")
        fields = read_rollout_file(file).command_fields("production")
    return plan_of(Rollout(command_id="c", issued_by="o", **fields), USERS)


def _wait(seconds: float, hold_seconds: float, at_most_seconds: float) -> str:
    if seconds <= hold_seconds:
        return f"{hold_seconds:g} s, its hold (evidence after {seconds:g} s)"
    if seconds <= at_most_seconds:
        return f"{seconds:g} s, until there is evidence"
    return f"rolled back after {at_most_seconds:g} s (evidence would take {seconds:g} s)"


def _groups() -> dict[tuple[str, ...], list[Phase]]:
    """Return the phases by their rows: those where all commands do the same are shown as one."""
    groups: dict[tuple[str, ...], list[Phase]] = {}
    for phase, row in ROWS.items():
        groups.setdefault(tuple(_cell(row[command]) for command in ROWS["empty"]), []).append(phase)
    return groups


def _name(phases: list[Phase]) -> str:
    return "_or_".join(phases)


def _cell(cell: Transition | RefusingCell) -> str:
    """Return what a cell does, in its first sentences, or the code of its refusal."""
    if isinstance(cell, RefusingCell):
        return f"refused: `{cell.code}`"
    return " ".join((cell.act.__doc__ or "").split()).rstrip(".").replace("``", "`")


if __name__ == "__main__":
    write()
