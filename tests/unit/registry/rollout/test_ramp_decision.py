"""Ramping: every cell of its table, every kind of stage, and whole ramps from end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any, get_args

from harness.cells import each_cell
from msgspec.structs import replace

from registry.guardrails.live_workers import LIVE_SECONDS
from registry.ramp_plans.ramp_durations import LOADING_SECONDS, patience_seconds
from registry.rollout.assignment import arms_of
from registry.rollout.command_log import ControlLog, Decision, follow
from registry.rollout.ramp_decision import (
    ACTIONS,
    Action,
    Moment,
    look,
    next_commands,
)
from registry.rollout.trail_wording import REASON_CHARACTERS
from registry.wire.codec import decode, encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command, CommandType
from registry.wire.counts import ShadowCounts
from registry.wire.field_types import AnswerError, Variant
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import BEGINNING, Instant
from registry.wire.outcome_records import ArmSums, PartitionSums
from registry.wire.ramp_values import (
    Guardrails,
    InterleaveStep,
    Ramp,
    RampCause,
    ShadowStep,
    Verdict,
)
from registry.wire.rollout_state import RolloutState
from tests.unit.registry.builders import (
    BEGAN_AT,
    a_canary_state,
    a_command,
    a_heartbeat,
    a_plan,
    a_ramp,
    a_ramping_state,
    a_soaking_state,
    a_state,
    an_arm,
)

CELLS: dict[tuple[Moment, Verdict], Action] = {
    ("early", "pass"): "hold",
    ("early", "inconclusive"): "hold",
    ("early", "error"): "hold",
    ("early", "fail"): "roll_back",
    ("due", "pass"): "advance",
    ("due", "inconclusive"): "hold",
    ("due", "error"): "hold",
    ("due", "fail"): "roll_back",
    ("overdue", "pass"): "advance",
    ("overdue", "inconclusive"): "roll_back",
    ("overdue", "error"): "roll_back",
    ("overdue", "fail"): "roll_back",
}
ELAPSED: dict[Moment, tuple[float, ...]] = {
    "early": (-3600.0, 0.0, 59.9),
    "due": (60.0, 239.9),
    "overdue": (240.0, 1e9),
}
"""Seconds into a step of a minute's hold, and so of three minutes' patience."""

Fleet = tuple[Heartbeat, ...]
SHADOW = ShadowStep(hold_seconds=20.0, min_overlap=0.5)
MIXED = InterleaveStep(hold_seconds=20.0, min_users=40)
BASELINE = an_arm("primary", "v0.1", users=0)


def arms_by(state: RolloutState, **canary: Any) -> tuple[Any, ...]:
    """Return plenty of good answers in each arm, by its share of users, but for `canary`'s."""
    arms = arms_of(state)
    shares = {"primary": 100 - state.canary_percentage, "canary": state.canary_percentage}
    return tuple(
        an_arm(
            variant,
            version,
            **{"users": int(100 * shares[variant])}
            | (canary if variant == "canary" or len(arms) == 1 else {}),
        )
        for version, variant in arms.items()
    )


def a_good_fleet(state: RolloutState, now: float = BEGAN_AT, **canary: Any) -> Fleet:
    shadow = ShadowCounts(compared=20_000, overlap=18_000.0) if state.strategy == "shadow" else None
    ready = (state.primary_version, state.canary_version or "")
    arms = arms_by(state, **canary)
    outcomes = preferring(state, 30, 25) if state.strategy == "interleave" else ()
    return (
        a_heartbeat(
            at=now, epoch=state.epoch, ready=ready, arms=arms, shadow=shadow, outcomes=outcomes
        ),
    )


def preferring(state: RolloutState, canary: int, primary: int) -> tuple[PartitionSums, ...]:
    """Return what workers report of users who prefer a version, and of ten who prefer neither."""
    users: dict[Variant | None, int] = {"canary": canary, "primary": primary, None: 10}
    return tuple(
        PartitionSums(state.epoch, 0, variant, ArmSums(count)) for variant, count in users.items()
    )


def a_failing_fleet(state: RolloutState, now: float = BEGAN_AT) -> Fleet:
    return a_good_fleet(state, now, errors=4_000)


def an_idle_fleet(state: RolloutState, now: float = BEGAN_AT) -> Fleet:
    return tuple(
        replace(heartbeat, arms=(), shadow=None, outcomes=())
        for heartbeat in a_good_fleet(state, now)
    )


def a_senseless_fleet(state: RolloutState, now: float = BEGAN_AT) -> Fleet:
    return a_good_fleet(state, now, errors=30_000)  # of 20,000 requests


FLEETS: dict[Verdict, Callable[[RolloutState, float], Fleet]] = {
    "pass": a_good_fleet,
    "inconclusive": an_idle_fleet,
    "error": a_senseless_fleet,
    "fail": a_failing_fleet,
}


def a_log(state: RolloutState) -> ControlLog:
    return ControlLog(state.epoch, state)


def seen(state: RolloutState, fleet: Fleet, now: float = BEGAN_AT) -> Any:
    found = look(state, fleet, now)
    assert found is not None
    return found


def by_name(state: RolloutState, fleet: Fleet, now: float = BEGAN_AT) -> dict[str, str]:
    return {finding.guardrail: finding.verdict for finding in seen(state, fleet, now).findings}


# --- one look -------------------------------------------------------------------------------


def test_the_table_has_every_cell_of_moment_and_verdict() -> None:
    assert dict(ACTIONS) == CELLS
    assert set(CELLS) == set(product(get_args(Moment), get_args(Verdict)))


@each_cell(("cell", "elapsed"), [(cell, elapsed) for cell in CELLS for elapsed in ELAPSED[cell[0]]])
def test_each_cell_is_reached_and_leads_to_its_command(
    cell: tuple[Moment, Verdict], elapsed: float
) -> None:
    state, now = a_ramping_state(), BEGAN_AT + elapsed
    fleet = FLEETS[cell[1]](state, now)
    found = seen(state, fleet, now)
    assert (found.moment, found.verdict, found.action) == (*cell, CELLS[cell])
    kinds = [command.type for command in next_commands(a_log(state), fleet, now)]
    assert kinds == {"hold": [], "advance": ["step"], "roll_back": ["abort"]}[CELLS[cell]]


@each_cell("elapsed", [0.0, 59.0, 60.0, 1000.0])
def test_the_time_until_the_hold_ends_is_told(elapsed: float) -> None:
    state = a_ramping_state()
    found = seen(state, a_good_fleet(state), BEGAN_AT + elapsed)
    assert found.due_in_seconds == max(60.0 - elapsed, 0.0)


@each_cell(
    "state",
    [
        None,
        a_state(),
        a_canary_state(),
        a_state(ramp=a_ramp(3, outcome="promoted")),
        a_canary_state(ramp=a_ramp(1, outcome="cancelled")),
    ],
)
def test_without_a_ramp_under_way_nothing_is_seen_and_nothing_commanded(
    state: RolloutState | None,
) -> None:
    log = ControlLog(7, state)
    assert look(state, (), BEGAN_AT) is None
    assert next_commands(log, (), BEGAN_AT) == ()


@each_cell("verdict", get_args(Verdict))
@each_cell("elapsed", [0.0, 100.0, 1e6])
def test_a_paused_ramp_goes_neither_forward_nor_back(verdict: Verdict, elapsed: float) -> None:
    for state in (
        a_ramping_state(a_ramp(paused=True)),
        a_soaking_state(a_ramp(3, paused=True, baseline=BASELINE)),
    ):
        fleet = FLEETS[verdict](state, BEGAN_AT + elapsed)
        found = seen(state, fleet, BEGAN_AT + elapsed)
        assert (found.verdict, found.action) == (verdict, "hold")
        assert next_commands(a_log(state), fleet, BEGAN_AT + elapsed) == ()


# --- each kind of stage ---------------------------------------------------------------------

RATES = {"error_rate": "pass", "fallback_rate": "pass", "empty_rate": "pass"}
ALIVE = {"readiness": "pass", "workers": "pass"}
ALL_PASS = {**ALIVE, "min_requests": "pass", **RATES, "latency_ratio": "pass"}


def test_preparing_waits_for_the_version_on_every_worker_and_for_nothing_else() -> None:
    state = a_ramping_state(a_ramp(0), canary_percentage=0.0)
    assert by_name(state, a_good_fleet(state)) == {"readiness": "pass"}
    loading = (*a_good_fleet(state), a_heartbeat("w2", ready=("v0.1",)))
    assert by_name(state, loading) == {"readiness": "inconclusive"}
    assert by_name(state, ()) == {"readiness": "error"}


def test_loading_may_take_its_minute_however_short_the_holds_are() -> None:
    state = a_ramping_state(a_ramp(0, a_plan(hold_seconds=1.0)), canary_percentage=0.0)
    for elapsed, moment in (
        (0.0, "due"),
        (LOADING_SECONDS - 1, "due"),
        (LOADING_SECONDS, "overdue"),
    ):
        assert seen(state, (), BEGAN_AT + elapsed).moment == moment


def test_a_worker_that_cannot_load_the_version_ends_the_ramp_and_is_named() -> None:
    state = a_ramping_state(a_ramp(0), canary_percentage=0.0)
    now = BEGAN_AT + 1000
    broken = a_heartbeat("w2", at=now, ready=("v0.1",), failures={"v0.2": "is damaged"})
    (command,) = next_commands(a_log(state), (*a_good_fleet(state, now), broken), now)
    assert (command.type, command.issued_by, command.expected_epoch) == ("abort", "ramp", 7)
    assert command.reason == (
        "preparing: inconclusive for longer than 180 s after the hold; "
        "readiness: v0.2 is not ready on w2 (is damaged)"
    )


def test_shadowing_judges_the_comparisons_and_readiness() -> None:
    ramp = a_ramp(1, a_plan(shadow=SHADOW))
    state = a_ramping_state(ramp, strategy="shadow", canary_percentage=0.0)
    good = a_good_fleet(state)
    assert by_name(state, good) == {**ALIVE, "min_compared": "pass", "min_overlap": "pass"}
    other = ShadowCounts(compared=20_000, overlap=2_000.0)
    assert by_name(state, (replace(good[0], shadow=other),))["min_overlap"] == "fail"
    assert by_name(state, an_idle_fleet(state)) == {
        **ALIVE,
        "min_compared": "inconclusive",
        "min_overlap": "inconclusive",
    }


@each_cell(
    ("canary", "primary", "enough", "preference"),
    [
        (30, 25, "pass", "pass"),
        (20, 19, "inconclusive", "inconclusive"),
        (0, 0, "inconclusive", "inconclusive"),
        (0, 20, "inconclusive", "fail"),
        (90, 10, "pass", "pass"),
        (10, 90, "pass", "fail"),
    ],
)
def test_interleaving_judges_which_version_users_prefer_and_readiness(
    canary: int, primary: int, enough: str, preference: str
) -> None:
    state = a_ramping_state(a_ramp(1, a_plan(interleave=MIXED)), strategy="interleave")
    fleet = tuple(
        replace(heartbeat, outcomes=preferring(state, canary, primary))
        for heartbeat in a_good_fleet(state)
    )
    expected = {**ALIVE, "min_users": enough, "preference": preference}
    assert by_name(state, fleet) == expected
    assert by_name(state, an_idle_fleet(state))["preference"] == "inconclusive"


def test_answers_that_both_versions_made_are_no_baseline_for_later_steps() -> None:
    state = a_ramping_state(a_ramp(1, a_plan(interleave=MIXED)), strategy="interleave")
    now = BEGAN_AT + 20
    (command,) = next_commands(a_log(state), a_good_fleet(state, now), now)
    assert (command.type, command.step, command.baseline) == ("step", 2, None)


def test_a_step_compares_with_the_primary_beside_it_users_included() -> None:
    state = a_ramping_state(a_ramp(baseline=replace(BASELINE, errors=20_000)))
    assert by_name(state, a_good_fleet(state)) == {**ALL_PASS, "sample_ratio": "pass"}
    assert by_name(state, a_good_fleet(state, users=9_000))["sample_ratio"] == "fail"


def test_the_step_of_everybody_is_compared_with_the_primary_of_the_step_before() -> None:
    state = a_ramping_state(a_ramp(2, baseline=BASELINE), canary_percentage=100.0)
    assert by_name(state, a_good_fleet(state)) == ALL_PASS
    assert by_name(state, a_failing_fleet(state))["error_rate"] == "fail"


def test_the_step_of_everybody_without_anything_to_compare_with_is_no_pass() -> None:
    state = a_ramping_state(a_ramp(2), canary_percentage=100.0)
    assert seen(state, a_good_fleet(state)).verdict == "inconclusive"


def test_a_soak_compares_the_new_primary_with_the_one_before() -> None:
    state = a_soaking_state(a_ramp(3, baseline=BASELINE))
    assert by_name(state, a_good_fleet(state)) == ALL_PASS
    assert by_name(state, a_failing_fleet(state))["error_rate"] == "fail"
    assert seen(state, an_idle_fleet(state)).verdict == "inconclusive"


def test_a_soak_that_an_operator_brought_on_before_any_step_watches_the_workers_only() -> None:
    state = a_soaking_state()
    assert by_name(state, an_idle_fleet(state)) == ALIVE


def dying(state: RolloutState, now: float) -> Fleet:
    """Return two workers that answered well, and have been silent for too long."""
    return tuple(
        replace(heartbeat, worker=name, instance=name)
        for heartbeat in a_good_fleet(state, now - LIVE_SECONDS - 1)
        for name in ("w1", "w2")
    )


@each_cell(
    ("state", "way_back"),
    [
        (a_ramping_state(a_ramp(1, a_plan(shadow=SHADOW)), strategy="shadow"), "abort"),
        (a_ramping_state(a_ramp(1, a_plan(interleave=MIXED)), strategy="interleave"), "abort"),
        (a_ramping_state(), "abort"),
        (a_ramping_state(a_ramp(2, baseline=BASELINE), canary_percentage=100.0), "abort"),
        (a_soaking_state(a_ramp(3, baseline=BASELINE)), "rollback"),
    ],
    ids=["shadowing", "interleaving", "stepping", "the step of everybody", "soaking"],
)
def test_a_version_that_workers_die_of_goes_back_at_once(state: Any, way_back: str) -> None:
    now = BEGAN_AT + LIVE_SECONDS + 1
    fleet = (*dying(state, now), *a_good_fleet(state, now))
    assert by_name(state, fleet, now)["workers"] == "fail"
    (command,) = next_commands(a_log(state), fleet, now)
    assert command.type == way_back
    assert "workers: 2 of 3 fell silent without stopping: w1, w2" in str(command.reason)


def test_a_worker_that_joins_in_mid_step_is_waited_for() -> None:
    state, now = a_ramping_state(), BEGAN_AT + 100
    joining = a_heartbeat("w2", at=now, epoch=None, ready=())
    fleet = a_good_fleet(state, now)
    assert [command.type for command in next_commands(a_log(state), fleet, now)] == ["step"]
    assert next_commands(a_log(state), (*fleet, joining), now) == ()


def test_the_counts_of_a_worker_that_died_are_evidence_still() -> None:
    state, now = a_ramping_state(), BEGAN_AT + 100
    dead = replace(a_failing_fleet(state)[0], instance="w1@before")
    found = seen(state, (*a_good_fleet(state, now), dead), now)
    assert {finding.guardrail for finding in found.findings if finding.verdict == "fail"} == {
        "error_rate"
    }


def test_counts_of_another_epoch_are_no_evidence() -> None:
    state = a_ramping_state()
    old = replace(a_failing_fleet(state)[0], epoch=6)
    assert seen(state, (old,)).verdict == "inconclusive"


# --- what is commanded ----------------------------------------------------------------------


def test_a_command_of_a_ramp_says_what_it_saw_and_which_state_it_is_for() -> None:
    state, now = a_ramping_state(), BEGAN_AT + 60
    (command,) = next_commands(a_log(state), a_good_fleet(state, now), now)
    assert (command.type, command.step, command.command_id) == ("step", 2, "ramp-7-step")
    assert (command.issued_by, command.expected_epoch) == ("ramp", 7)
    assert (command.environment, command.reason) == (
        "production",
        "step of 10 %: all guardrails pass",
    )
    assert [finding.verdict for finding in command.findings] == ["pass"] * 8
    assert command.baseline == replace(BASELINE, users=0)
    assert decode(Command, encode(command)) == command


def test_the_last_step_keeps_the_baseline_of_the_one_before() -> None:
    """What little the primary still answers says nothing of how it did."""
    ramp = a_ramp(2, baseline=BASELINE)
    state, now = a_ramping_state(ramp, canary_percentage=100.0), BEGAN_AT + 60
    (command,) = next_commands(a_log(state), a_good_fleet(state, now), now)
    assert (command.type, command.baseline) == ("promote", None)


def test_two_owners_that_look_at_once_say_the_same_and_the_second_changes_nothing() -> None:
    state, now = a_ramping_state(), BEGAN_AT + 60
    fleet = a_good_fleet(state, now)
    earlier, other = (next_commands(a_log(state), fleet, now)[0] for _ in range(2))
    assert earlier == other
    log = follow(a_log(state), earlier, offset=8, at=stamp(now), problems={}).log
    again = follow(log, other, offset=9, at=stamp(now), problems={})
    assert (again.result.status, again.log.state) == ("duplicate", log.state)


def test_of_two_owners_that_disagree_the_first_one_is_followed() -> None:
    state, now = a_ramping_state(), BEGAN_AT + 60
    (forward,) = next_commands(a_log(state), a_good_fleet(state, now), now)
    (back,) = next_commands(a_log(state), a_failing_fleet(state, now), now)
    log = follow(a_log(state), back, offset=8, at=stamp(now), problems={}).log
    late = follow(log, forward, offset=9, at=stamp(now), problems={})
    assert late.result.error is not None
    assert (late.result.error.code, late.log.state) == ("stale_epoch", log.state)


def test_the_reason_of_a_rollback_has_the_figures_of_what_failed_only() -> None:
    state = a_ramping_state()
    (command,) = next_commands(a_log(state), a_failing_fleet(state), BEGAN_AT)
    assert command.type == "abort"
    reason = str(command.reason)
    assert reason.startswith(
        "step of 10 %: fail; error_rate: errors 20.00 % of 20,000 against 0.00 % of 20,000: "
        "more than 1 percentage point worse"
    )
    assert "latency" not in reason


def test_a_reason_is_never_longer_than_a_command_takes() -> None:
    state, now = a_ramping_state(a_ramp(0), canary_percentage=0.0), BEGAN_AT + 1e6
    why = {"v0.2": "é" * 10_000}
    fleet = tuple(a_heartbeat(f"w{n}", at=now, ready=(), failures=why) for n in range(200))
    (command,) = next_commands(a_log(state), fleet, now)
    assert len(str(command.reason)) == REASON_CHARACTERS
    assert "v0.2 is not ready on w0 (" in str(command.reason)
    assert decode(Command, encode(command), max_bytes=65_536) == command


def test_a_soak_that_fails_goes_back_to_the_previous_primary() -> None:
    state = a_soaking_state(a_ramp(3, baseline=BASELINE))
    (command,) = next_commands(a_log(state), a_failing_fleet(state), BEGAN_AT)
    assert (command.type, command.command_id) == ("rollback", "ramp-7-rollback")


# --- whole ramps ----------------------------------------------------------------------------


def stamp(now: float) -> str:
    return Instant.of(now)


def started(plan: Ramp, environments: tuple[str, ...] = ("production",)) -> ControlLog:
    command = replace(
        a_command("rollout", canary_version="v0.2", bucketing="hash", ramp=plan),
        environments=environments,
    )
    first = a_log(a_state())
    return follow(first, command, offset=8, at=stamp(BEGAN_AT), problems={}).log


def played(
    log: ControlLog,
    fleet: Callable[[RolloutState, float], Fleet] = a_good_fleet,
    refused: Mapping[CommandType, str] = {},
    following: RolloutState | None = None,
) -> tuple[ControlLog, list[Command]]:
    """Look every ten seconds, as an owner would, and follow what is commanded.

    `following` is the next environment's state, ``fixed`` unless given: it answers the hand-over.
    """
    given: list[Command] = []
    handed_over: CommandResult | None = None
    for now in range(int(BEGAN_AT), int(BEGAN_AT) + 1500, 10):
        assert log.state is not None
        for command in next_commands(log, fleet(log.state, now), now, handed_over):
            assert decode(Command, encode(command)) == command
            given.append(command)
            if command.environment != log.state.environment:
                handed_over = taken_over(command, following or a_state()).result
            else:
                versions = {log.state.canary_version, *log.state.previous_versions[:1]}
                why = refused.get(command.type)
                problems = {str(version): why for version in versions} if why else {}
                offset = log.last_offset + 1
                log = follow(log, command, offset=offset, at=stamp(now), problems=problems).log
    return log, given


def taken_over(command: Command, state: RolloutState) -> Decision:
    """Return what the next environment, in `state`, makes of a hand-over."""
    log = a_log(replace(state, environment=command.environment))
    return follow(log, command, offset=20, at=stamp(BEGAN_AT), problems={})


def moves_of(commands: list[Command]) -> list[Any]:
    return [command.step if command.type == "step" else command.type for command in commands]


@each_cell(
    ("plan", "commands"),
    [
        ({"soak_seconds": 0.0}, [1, 2, "promote"]),
        ({}, [1, 2, "promote", 4]),
        ({"shadow": SHADOW}, [1, 2, 3, "promote", 5]),
        ({"shadow": SHADOW, "interleave": MIXED}, [1, 2, 3, 4, "promote", 6]),
        ({"steps": (0.01, 50.0)}, [1, 2, "promote", 4]),
        ({"steps": (100.0,), "shadow": SHADOW}, [1, 2, "promote", 4]),
    ],
)
def test_a_good_version_goes_through_every_stage_and_ends_promoted(
    plan: dict[str, Any], commands: list[Any]
) -> None:
    log, given = played(started(a_plan(**plan)))
    assert moves_of(given) == commands
    assert log.state is not None
    assert log.state.ramp is not None
    assert (log.state.primary_version, log.state.strategy) == ("v0.2", "fixed")
    assert (log.state.ramp.outcome, log.state.previous_versions) == ("promoted", ("v0.1",))
    assert log.state.ramp.baseline is not None
    assert log.state.ramp.baseline.version == "v0.1"


@each_cell("failing", [0, 1, 2, 3])
def test_a_version_that_fails_in_any_stage_ends_rolled_back(failing: int) -> None:
    def fleet(state: RolloutState, now: float) -> Fleet:
        bad = state.ramp is not None and state.ramp.stage == failing
        if bad and failing == 0:
            return tuple(
                replace(heartbeat, ready=("v0.1",)) for heartbeat in a_good_fleet(state, now)
            )
        return a_failing_fleet(state, now) if bad else a_good_fleet(state, now)

    log, given = played(started(a_plan()), fleet)
    assert moves_of(given)[-1] == ("rollback" if failing == 3 else "abort")
    assert log.state is not None
    assert log.state.ramp is not None
    assert (log.state.primary_version, log.state.canary_version) == ("v0.1", None)
    assert (log.state.ramp.outcome, log.state.ramp.stage) == ("rolled_back", failing)
    assert log.state.reason == given[-1].reason


@each_cell("kind", ["step", "promote"])
def test_a_refused_command_leads_to_a_rollback_and_to_no_repetition(kind: CommandType) -> None:
    log, given = played(started(a_plan()), refused={kind: "x" * 3000})
    assert moves_of(given)[-2:] == [1 if kind == "step" else "promote", "abort"]
    assert f"{kind} was refused: version v0.2: xxx" in str(given[-1].reason)
    assert log.state is not None
    assert log.state.ramp is not None
    assert log.state.ramp.outcome == "rolled_back"
    assert log.state.ramp.findings[-1].guardrail == "command"


def test_a_refused_rollback_ends_the_ramp_and_says_so_instead_of_asking_for_ever() -> None:
    soaking = a_log(a_soaking_state(a_ramp(3, baseline=BASELINE, environments=("eu",))))
    log, given = played(soaking, a_failing_fleet, refused={"rollback": "is damaged"})
    assert moves_of(given) == ["rollback", "abort"]
    assert str(given[-1].reason).startswith(
        "rollback was refused: version v0.1: is damaged; soaking: fail; error_rate: "
    )
    assert log.state is not None
    assert log.state.ramp is not None
    assert (log.state.primary_version, log.state.ramp.outcome) == ("v0.2", "cancelled")
    assert [
        finding.guardrail for finding in log.state.ramp.findings if finding.verdict == "fail"
    ] == ["error_rate"]


def test_without_traffic_a_ramp_waits_its_patience_and_goes_back() -> None:
    log, given = played(started(a_plan()), an_idle_fleet)
    assert moves_of(given) == [1, "abort"]
    assert log.state is not None
    waited = 60 + patience_seconds(a_plan())
    assert log.state.updated_at == stamp(BEGAN_AT + waited)
    assert "no data yet" in str(log.state.reason)


def test_with_all_guardrails_off_a_ramp_still_waits_for_its_requests() -> None:
    off = Guardrails(None, None, None, None, sample_ratio=False)
    plan = a_plan(guardrails=off, soak_seconds=0.0)
    assert moves_of(played(started(plan), a_failing_fleet)[1]) == [1, 2, "promote"]
    assert moves_of(played(started(plan), an_idle_fleet)[1]) == [1, "abort"]


def test_a_resumed_ramp_goes_on_in_its_stage_and_its_hold_begins_anew() -> None:
    log = a_log(a_ramping_state())
    for offset, kind in ((8, "pause"), (9, "resume")):
        at = stamp(BEGAN_AT + 100 * (offset - 7))
        command = replace(a_command(kind), command_id=kind)
        log = follow(log, command, offset=offset, at=at, problems={}).log
        if kind == "pause":
            assert played(log)[1] == []
    assert log.state is not None
    assert log.state.ramp is not None
    assert (log.state.ramp.stage, log.state.ramp.since) == (1, stamp(BEGAN_AT + 200))
    fleet = a_good_fleet(log.state, BEGAN_AT + 259)
    assert next_commands(log, fleet, BEGAN_AT + 259) == ()
    (command,) = next_commands(log, a_good_fleet(log.state, BEGAN_AT + 260), BEGAN_AT + 260)
    assert (command.step, command.expected_epoch) == (2, 9)


@each_cell("kind", ["swap", "rollout", "rollback", "abort", "pause", "promote"])
def test_an_operator_in_mid_ramp_wins_over_the_command_that_the_ramp_has_sent(kind: Any) -> None:
    state, now = a_ramping_state(), BEGAN_AT + 60
    (on_its_way,) = next_commands(a_log(state), a_good_fleet(state, now), now)
    arguments = {
        "swap": {"model_version": "v0.3"},
        "rollout": {"canary_percentage": 50.0},
    }.get(kind, {})
    operator = a_command(kind, **arguments)
    log = follow(a_log(state), operator, offset=8, at=stamp(now), problems={}).log
    late = follow(log, on_its_way, offset=9, at=stamp(now), problems={})
    assert late.result.error is not None
    assert (late.result.error.code, late.log.state) == ("stale_epoch", log.state)
    given = played(late.log)[1]
    assert moves_of(given) == (
        [4] if kind == "promote" else []
    )  # after a promotion the soak goes on


# --- environments ---------------------------------------------------------------------------


def test_each_environment_starts_the_next_once_it_has_soaked_and_the_last_ends_the_chain() -> None:
    environments = ("production", "eu", "us")
    log, given = played(started(a_plan(), environments))
    assert moves_of(given) == [1, 2, "promote", "rollout", 4]
    hand_over = given[-2]
    assert (hand_over.command_id, hand_over.environment) == ("c1@eu", "eu")
    assert (hand_over.issued_by, hand_over.expected_epoch) == ("ramp", None)
    assert hand_over.reason == "promoted and soaked in production"

    eu = taken_over(hand_over, a_state()).log
    assert eu.state is not None
    assert (eu.state.bucketing, eu.state.canary_version) == ("hash", "v0.2")
    assert eu.state.ramp is not None
    assert eu.state.ramp.plan == a_plan()
    eu, given = played(eu)
    assert moves_of(given) == [1, 2, "promote", "rollout", 4]
    assert (given[-2].command_id, given[-2].environments) == ("c1@us", ("us",))

    us, given = played(taken_over(given[-2], a_state()).log)
    assert moves_of(given) == [1, 2, "promote", 4]
    for log_ in (log, eu, us):
        assert log_.state is not None
        assert log_.state.ramp is not None
        assert (log_.state.ramp.outcome, log_.state.primary_version) == ("promoted", "v0.2")


def test_each_move_of_a_trained_version_names_its_run_in_every_environment() -> None:
    cause = RampCause("run-7", "anna", "new films")
    words = "; training run run-7, asked for by anna: new films"
    state = a_ramping_state(a_ramp(cause=cause, environments=("eu",)), bucketing="hash")
    given = played(a_log(state))[1]
    assert moves_of(given) == [2, "promote", "rollout", 4]
    assert given[0].reason == f"step of 10 %: all guardrails pass{words}"
    assert {str(command.reason).endswith(words) for command in given} == {True}
    eu = taken_over(given[-2], a_state()).log
    back = played(eu, a_failing_fleet)[1][-1]
    assert (back.type, back.environment) == ("abort", "eu")
    assert str(back.reason).startswith("step of 10 %: fail; ")
    assert str(back.reason).endswith(words)


def test_the_longest_words_of_a_run_leave_the_verdict_in_the_reason() -> None:
    cause = RampCause("r" * 200, "a" * 200, "x" * 1000)
    state, now = a_ramping_state(a_ramp(cause=cause)), BEGAN_AT + 60
    (step,) = next_commands(a_log(state), a_good_fleet(state, now), now)
    assert str(step.reason).startswith("step of 10 %: all guardrails pass; training run rrr")
    assert decode(Command, encode(step)) == step


def test_a_ramp_that_fails_starts_no_further_environment() -> None:
    for fleet in (a_failing_fleet, an_idle_fleet):
        given = played(started(a_plan(), ("production", "eu")), fleet)[1]
        assert {command.environment for command in given} == {"production"}


HANDING_OVER = a_soaking_state(a_ramp(3, baseline=BASELINE, environments=("eu", "us")))


def test_an_owner_that_dies_between_hand_over_and_end_does_no_harm() -> None:
    """Whoever follows asks the same, until the next environment has answered."""
    now = BEGAN_AT + 60
    (first,) = next_commands(a_log(HANDING_OVER), a_good_fleet(HANDING_OVER, now), now)
    later = now + 120
    (again,) = next_commands(a_log(HANDING_OVER), a_good_fleet(HANDING_OVER, later), later)
    assert first == again
    assert (first.command_id, first.type, first.environment) == ("deploy@eu", "rollout", "eu")
    eu = taken_over(first, a_state())
    twice = follow(eu.log, again, offset=21, at=stamp(later), problems={})
    assert (twice.result.status, twice.log.state) == ("duplicate", eu.log.state)


@each_cell(
    ("following", "verdict", "words"),
    [
        (a_state(), "pass", "eu has begun"),
        (a_canary_state(), "fail", "eu refused: rollout: eu has a trial of its own"),
        (a_state(primary_version="v0.2"), "fail", "eu refused: canary_version v0.2: is"),
    ],
    ids=["taken", "trial", "there already"],
)
def test_the_end_of_a_ramp_tells_what_the_next_environment_made_of_it(
    following: RolloutState, verdict: str, words: str
) -> None:
    log, given = played(a_log(HANDING_OVER), following=following)
    assert moves_of(given) == ["rollout", 4]
    assert str(given[-1].reason).startswith(f"soaked; {words}")
    assert log.state is not None
    assert log.state.ramp is not None
    assert log.state.ramp.outcome == "promoted"  # here it has ended well, whatever comes after
    finding = log.state.ramp.findings[-1]
    assert (finding.guardrail, finding.verdict) == ("hand_over", verdict)
    assert finding.message.startswith(words)


def test_a_long_refusal_of_the_next_environment_leaves_the_end_a_command() -> None:
    now = BEGAN_AT + 60
    fleet = a_good_fleet(HANDING_OVER, now)
    refusal = AnswerError("unusable_version", "x" * 3 * REASON_CHARACTERS)
    answer = CommandResult(
        "deploy@eu", "rollout", "eu", "rejected", 20, "ramp", BEGINNING, error=refusal
    )
    (end,) = next_commands(a_log(HANDING_OVER), fleet, now, answer)
    assert len(str(end.reason)) == REASON_CHARACTERS
    assert decode(Command, encode(end)) == end


def test_a_soak_that_fails_while_the_next_environment_answers_goes_back() -> None:
    now = BEGAN_AT + 60
    answer = CommandResult("deploy@eu", "rollout", "eu", "applied", 20, "ramp", BEGINNING)
    fleet = a_failing_fleet(HANDING_OVER, now)
    (command,) = next_commands(a_log(HANDING_OVER), fleet, now, answer)
    assert command.type == "rollback"


def test_the_hand_over_has_the_same_id_after_a_pause() -> None:
    log = a_log(a_soaking_state(a_ramp(3, baseline=BASELINE, environments=("eu",))))
    for offset, kind in ((8, "pause"), (9, "resume")):
        command = replace(a_command(kind), command_id=kind)
        log = follow(log, command, offset=offset, at=stamp(BEGAN_AT), problems={}).log
    given = played(log)[1]
    assert [command.command_id for command in given] == ["deploy@eu", "ramp-9-step"]


def test_an_operator_who_aborts_the_soak_keeps_the_next_environment_from_beginning() -> None:
    log = a_log(a_soaking_state(a_ramp(3, baseline=BASELINE, environments=("eu",))))
    log = follow(log, a_command("abort"), offset=8, at=stamp(BEGAN_AT), problems={}).log
    assert played(log)[1] == []
