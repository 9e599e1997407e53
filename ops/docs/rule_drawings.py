"""What the pages on rollouts show of the rules, drawn from the code: ``make docs``.

Knows how the tables of `registry.rollout.transitions` and `registry.rollout.ramp_decision`, the
phases' diagram and the guide's plan are shown as Markdown. The diagram is found by trying: from
nothing, every command in every state that can be reached. A test compares.
"""

from __future__ import annotations

import io
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias, get_args

from msgspec.structs import replace
from rich.console import Console

from ops.cli.ramp_arithmetic import Plan, plan_of, plan_tables
from ops.clients.rollout_file import read_rollout_file
from ops.docs.markdown import ROOT, table
from registry.errors import RefusedCommand
from registry.rollout.ramp_decision import ACTIONS, Moment
from registry.rollout.ramp_plan import SENTENCES
from registry.rollout.transitions import ROWS, Phase, Transition, apply_command, phase_of
from registry.wire.commands import Command, CommandType
from registry.wire.ramp_values import Ramp, ShadowStep, Verdict
from registry.wire.rollout_state import RolloutState

GUIDE: Final = ROOT / "docs" / "ROLLOUT_GUIDE.md"
DRAWN: Final = (ROOT / "docs" / "explanation" / "ramps.md", GUIDE)
"""The pages that hold drawn parts."""

USERS: Final = 200_000
"""The guide's users."""

RATES: Final = (500, 20)
"""The guide's requests a second, of all users together."""

RAMP: Final = Ramp(
    steps=(5.0, 100.0), hold_seconds=1, shadow=ShadowStep(1, min_overlap=0.5), soak_seconds=1
)

TRIED: Final[tuple[Command, ...]] = (
    *(Command("c", "swap", "o", model_version=version) for version in ("v0.1", "v0.2", "v0.3")),
    *(
        Command("c", "rollout", "o", strategy=strategy, canary_version="v0.2")
        for strategy in ("fixed", "canary", "ab_test", "shadow")
    ),
    Command("c", "rollout", "o", canary_version="v0.3", ramp=RAMP),
    *(Command("c", "step", "o", step=step) for step in range(1, 6)),
    Command("c", "promote", "o"),
    Command("c", "rollback", "o"),
    Command("c", "abort", "o"),
    Command("c", "pause", "o"),
    Command("c", "resume", "o"),
)
"""Enough commands to walk along every arrow that there is."""

MARK: Final = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
"""What stands around a drawn part of a page."""

Arrow: TypeAlias = tuple[str, CommandType, str]


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


@cache
def diagram() -> str:
    """Return the arrows between the phases, in Mermaid's text; those to itself are left out."""
    labels: dict[tuple[str, str], list[str]] = {}
    for before, command, after in sorted(set(_arrows())):
        if before != after:
            labels.setdefault((before, after), []).append(command)
    names = {_name(phases): " / ".join(phases) for phases in _groups().values()}
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
    needed = max([planned.min_requests, *(one.to_pass or 0 for one in planned.needs)])
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
"""By the name in a page's mark: what stands beneath it."""


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
def _planned() -> Plan:
    """Return the plan of the guide's first rollout file."""
    found = re.search(r"^```yaml\n(.*?)^```", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ramp.yaml"
        file.write_text(found[1], "utf-8")
        fields = read_rollout_file(file).command_fields("production")
    return plan_of(Command("c", "rollout", "o", **fields), USERS)


def _wait(seconds: float, hold_seconds: float, at_most_seconds: float) -> str:
    if seconds <= hold_seconds:
        return f"{hold_seconds:g} s, its hold (evidence after {seconds:g} s)"
    if seconds <= at_most_seconds:
        return f"{seconds:g} s, until there is evidence"
    return f"rolled back after {at_most_seconds:g} s (evidence would take {seconds:g} s)"


def _groups() -> dict[tuple[Transition, ...], list[Phase]]:
    """Return the phases by their rows: those with the same row are shown as one."""
    groups: dict[tuple[Transition, ...], list[Phase]] = {}
    for phase, row in ROWS.items():
        groups.setdefault(tuple(row[command] for command in ROWS["empty"]), []).append(phase)
    return groups


def _name(phases: list[Phase]) -> str:
    return "_or_".join(phases)


def _cell(transition: Transition) -> str:
    """Return a cell's first sentences; one without any is a refusal, whatever the state."""
    if transition.__doc__ is not None:
        return " ".join(transition.__doc__.split()).rstrip(".").replace("``", "`")
    try:
        transition(None, Command("c", "retrain", "o"))
    except RefusedCommand as error:
        return f"refused: `{error.code}`"
    raise AssertionError(f"{transition} has no docstring and refuses nothing")


def _arrows() -> Iterator[Arrow]:
    """Yield the phase before, the command and the phase after, for every state that is reached."""
    names = {phase: _name(phases) for phases in _groups().values() for phase in phases}
    reached: set[RolloutState | None] = set()
    waiting: list[RolloutState | None] = [None]
    while waiting:
        state = waiting.pop()
        if state in reached:
            continue
        reached.add(state)
        for command in TRIED:
            try:
                after = apply_command(state, command, epoch=0, at="", problems={})
            except RefusedCommand:
                continue
            yield names[phase_of(state)], command.type, names[phase_of(after)]
            waiting.append(replace(after, previous_versions=after.previous_versions[:1]))


if __name__ == "__main__":
    write()
