from pathlib import Path

from harness.cells import each_cell
from msgspec.structs import replace
from rich.console import Console, RenderableType

from ops.clients.fleet_observer import Observation
from ops.views import rollout_tables as rollout_view
from ops.views.ramp_progress import RampDisplay
from registry.rollout.explanation import explain
from registry.rollout.ramp_decision import look
from registry.wire.command_results import CommandResult
from registry.wire.field_types import AnswerError
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant
from registry.wire.ramp_values import Finding, Ramp, RampState
from registry.wire.rollout_state import RolloutState

SINCE = Instant.read("2026-01-01T00:00:00+00:00")
AT = 1_767_225_600.0
"""The same, in seconds since the epoch."""

PLAN = Ramp(steps=(10.0, 100.0), hold_seconds=60)
RAMP = RampState(PLAN, "r1", 1, SINCE, findings=(Finding("readiness", "pass", "on all 2"),))
FIXED = RolloutState("production", 6, "fixed", "v0.1")
RAMPING = RolloutState("production", 7, "canary", "v0.1", "v0.2", 10.0, ramp=RAMP)


def shown(*renderables: RenderableType, width: int = 140) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
    return captured.get()


def seen(state: RolloutState, now: float = AT) -> Observation:
    return Observation(state, (), look(state, (), now))


def test_a_ramp_shows_what_is_done_where_it_is_and_what_is_to_come() -> None:
    text = shown(rollout_view.seen_tables(seen(RAMPING, AT + 20)))
    assert "at 10 % (stage 2 of 3)" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["done", "preparing", "0", "%", "0", "s"] in lines
    assert ["now", "stepping", "10", "%", "60", "s,", "40", "s", "left"] in lines
    assert ["stepping", "100", "%", "60", "s"] in lines


def test_the_verdicts_are_those_of_now_while_a_ramp_goes_on_and_of_its_last_move_after() -> None:
    assert "no live worker" in shown(rollout_view.followed_ramp(seen(RAMPING)))
    ended = replace(RAMPING, ramp=replace(RAMP, outcome="rolled_back"))
    text = shown(rollout_view.seen_tables(seen(ended)))
    assert "on all 2" in text
    assert "rolled back, was at 10 %" in text
    assert "ended" in text


def test_a_paused_ramp_says_so_in_its_stage() -> None:
    paused = replace(RAMPING, ramp=replace(RAMP, paused=True))
    assert "paused   stepping" in shown(rollout_view.seen_tables(seen(paused)))


def test_a_state_without_a_ramp_shows_none() -> None:
    assert "ramp" not in shown(rollout_view.seen_tables(Observation(FIXED)))
    assert shown(rollout_view.followed_ramp(Observation(FIXED))) == ""


def test_a_ramp_that_is_followed_names_its_versions() -> None:
    text = shown(rollout_view.followed_ramp(seen(RAMPING)))
    assert text.startswith("ramp at 10 % (stage 2 of 3)   v0.2 over v0.1")


def test_the_trail_says_what_each_command_changed_and_why_another_was_refused() -> None:
    applied = CommandResult(
        "c1", "rollout", "production", "applied", 7, "anna", SINCE, before=FIXED, after=RAMPING
    )
    error = AnswerError("stale_epoch", "the epoch is now 7")
    refused = CommandResult("c2", "swap", "eu", "rejected", 7, "bob", SINCE, error=error)
    ending = replace(applied, reason="try [it]", reported_experiment=6)
    text = shown(rollout_view.trail_lines([refused, ending]))
    assert text.splitlines() == [
        "2026-01-01 00:00:00   eu   swap by bob   rejected   epoch 7",
        "    stale_epoch: the epoch is now 7",
        "2026-01-01 00:00:00   production   rollout by anna   applied   epoch 7",
        "    strategy: fixed → canary",
        "    canary: none → v0.2",
        "    canary percentage: 0 % → 10 %",
        "    ramp: none → at 10 % (stage 2 of 3)",
        "    try [it]",
        "    report of the experiment, in the registry: experiments/production/6",
    ]


def test_each_worker_shows_what_it_is_at_and_what_it_could_not_load() -> None:
    def worker(name: str, **fields: object) -> Heartbeat:
        default = {"at": AT - 1, "ready": ("v0.1",), "url": f"http://{name}:6066/"}
        return Heartbeat(name, name, "production", **default | fields)

    fleet = [
        worker("w1", epoch=7, log_offset=9, owns_control=True, lag=1200),
        worker("w2", failures={"v0.2": "a flipped bit"}, reasons=("no_version",), ready=()),
        worker("w3", at=AT - 9),
        worker("w4", stopping=True),
    ]
    lines = shown(rollout_view.fleet_table(fleet, AT, 4)).splitlines()[3:]
    cells = [line.split() for line in lines]
    assert cells[0] == ["w1", "ready", "7", "v0.1", "1,200", "0", "1.0", "s"]
    assert cells[1:3] == [["http://w1:6066/"], ["owns", "control,", "log", "9"]]
    assert cells[3] == ["w2", "not", "ready:", "none", "none", "0", "0", "1.0", "s"]
    assert cells[4] == ["http://w2:6066/", "no_version"]
    assert cells[5][:2] == ["w3", "silent"]
    assert "9.0 s" in lines[5]
    assert cells[7][:2] == ["w4", "stopping"]
    assert lines[-1] == "w2 could not load v0.2: a flipped bit"


def test_a_fleets_addresses_are_whole_on_a_terminal_of_80_columns() -> None:
    url = "http://127.0.0.1:18161/"
    fleet = [
        Heartbeat(
            "worker-1", "i", "production", AT, epoch=123, log_offset=1234, lag=12_345, url=url
        )
    ]
    assert url in shown(rollout_view.fleet_table(fleet, AT, 4), width=80)


def test_an_explanation_shows_bucket_and_rule() -> None:
    text = shown(rollout_view.explanation_table(explain(109, RAMPING)))
    assert "9 of 100 (modulo)" in text
    assert "109 % 100 = 9" in text


def test_environments_are_shown_one_a_row() -> None:
    states = [replace(RAMPING, environment="eu"), replace(FIXED, environment="us")]
    lines = shown(rollout_view.states_table(states)).splitlines()
    assert any("eu" in line and "at 10 %" in line for line in lines)
    assert any("us" in line and "fixed" in line for line in lines)


def test_a_ramp_that_has_ended_names_its_version_and_no_other() -> None:
    ramp = replace(RAMP, outcome="rolled_back", version="v0.2")
    text = shown(rollout_view.followed_ramp(Observation(replace(FIXED, ramp=ramp))))
    assert text.splitlines()[0].rstrip() == "ramp rolled back, v0.2 was at 10 %"


def test_where_nothing_can_be_drawn_again_a_ramp_is_a_line_a_change() -> None:
    console = Console(width=140, force_terminal=False)
    ended = replace(RAMPING, ramp=replace(RAMP, outcome="promoted"))
    with console.capture() as captured, RampDisplay(console) as display:
        for state in (RAMPING, RAMPING, ended):
            display.show(seen(state))
    lines = captured.get().splitlines()
    assert lines[0] == ("    ramp at 10 % (stage 2 of 3): error (readiness)")
    assert lines[1] == "    ramp promoted"
    assert "on all 2" in captured.get()


@each_cell("hidden", [True, False])
def test_a_terminal_is_drawn_again_unless_it_is_hidden(hidden: bool) -> None:
    console = Console(width=140, force_terminal=True)
    with console.capture() as captured, RampDisplay(console, hidden=hidden) as display:
        display.show(seen(RAMPING))
    assert ("no live worker" in captured.get()) is not hidden


def test_the_tutorial_shows_the_fleet_as_the_command_does() -> None:
    beats = [
        Heartbeat(
            name, name, "production", AT + early, epoch=18, ready=("v0.1", "v0.2"),
            owns_control=not early, url=f"http://127.0.0.1:{port}/", log_offset=18, partitions=4,
        )
        for name, port, early in (("worker-1", 22754, 0.0), ("worker-2", 23118, 0.1))
    ]  # fmt: skip
    lines = shown(rollout_view.fleet_table(beats, AT + 0.9, 8)).splitlines()
    printed = [line.rstrip() for line in lines if line.strip()]
    tutorial = Path("docs/tutorial.md").read_text("utf-8")
    assert "$ recstream fleet\n" + "\n".join(printed) + "\n```" in tutorial
