"""What a new owner of the control partition finds of the training runs of the one before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from harness.cells import each_cell
from msgspec.structs import replace

from registry.rollout.command_log import EMPTY_LOG, ControlLog, follow
from registry.wire.commands import Retrain
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant
from registry.wire.training_records.training_messages import TrainingResult, TrainingRun
from streams.retraining.takeover import SILENT_SECONDS, Leftover, find_leftover

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEGAN = Instant(2026, 1, 1, 11, 50, tzinfo=UTC)
ASKED = Instant(2026, 1, 1, 11, 49, 59, tzinfo=UTC)
EARLIER = Instant(2026, 1, 1, 11, tzinfo=UTC)
RUN = TrainingRun("run-1", "w1", "anna", BEGAN, BEGAN)
ENDED = replace(RUN, result=TrainingResult("run-1", "failed"))


def asked_for(*ids: str, at: Instant = ASKED) -> ControlLog:
    """Return a log of `retrain` commands, from offset 0 on."""
    log = EMPTY_LOG
    for offset, run_id in enumerate(ids):
        command = Retrain(run_id, "anna")
        log = follow(log, command, offset=offset, at=at, problems={}).log
    return log


def beat(started_at: Instant = EARLIER, silent: float = 1.0, **given: Any) -> Heartbeat:
    at = NOW.timestamp() - silent
    return Heartbeat("w1", f"w1@{started_at}", "production", at, **given)


def found(run: TrainingRun | None, log: ControlLog = EMPTY_LOG, **given: Any) -> Leftover | None:
    return find_leftover(log, run, given.get("fleet", ()), NOW, given.get("known", ()))


def test_without_any_run_there_is_nothing_to_take_over() -> None:
    assert found(None) is None
    assert found(ENDED, asked_for("run-1")) is None


def test_a_run_whose_worker_lives_goes_on() -> None:
    assert found(RUN, asked_for("run-1"), fleet=[beat()]) is None


@each_cell(
    "fleet",
    [
        [],
        [beat(silent=SILENT_SECONDS + 1)],
        [beat(stopping=True)],
        [
            beat(started_at=Instant(2026, 1, 1, 11, 50, 1, tzinfo=UTC))
        ],  # started again, under the same name
        [Heartbeat("w2", f"w2@{ASKED}", "production", NOW.timestamp())],
    ],
)
def test_a_run_whose_worker_has_ended_is_started_anew_by_its_command(
    fleet: list[Heartbeat],
) -> None:
    log = asked_for("earlier", "run-1")
    assert found(RUN, log, fleet=fleet) == Leftover(RUN, 1, "run-1-again", "run-1")


def test_a_timers_run_needs_no_command() -> None:
    run = replace(RUN, requested_by="timer@w1", origin="timer")
    assert found(run) == Leftover(run, None, "run-1-again", "run-1")


def test_no_name_and_no_id_decides_whose_run_it_is_or_which_attempt() -> None:
    spelled = replace(RUN, run_id="x-again", requested_by="timer@w1")
    assert found(spelled) == Leftover(spelled, None, None)
    asked = Leftover(spelled, 0, "x-again-again", "x-again")
    assert found(spelled, asked_for("x-again")) == asked


def test_a_command_that_is_no_longer_remembered_is_not_guessed() -> None:
    assert found(RUN) == Leftover(RUN, None, None)


def test_a_run_that_ended_its_worker_twice_is_not_tried_a_third_time() -> None:
    again = replace(RUN, run_id="run-1-again", repeats="run-1", origin="timer")
    assert found(again) == Leftover(again, None, None)


def test_a_command_whose_owner_died_before_its_run_began_is_carried_out() -> None:
    assert found(None, asked_for("run-1")) == Leftover(None, 0, "run-1")
    earlier = replace(ENDED, run_id="run-0", started_at=Instant(2026, 1, 1, 10, tzinfo=UTC))
    assert found(earlier, asked_for("run-0", "run-1")) == Leftover(None, 1, "run-1")


def test_a_command_after_whose_run_the_timer_ran_is_not_carried_out_again() -> None:
    timed = replace(ENDED, run_id="run-2")
    assert found(timed, asked_for("run-1")) is None


def test_a_command_whose_second_attempt_has_ended_is_not_carried_out_again() -> None:
    again = replace(ENDED, run_id="run-1-again", repeats="run-1")
    assert found(again, asked_for("run-1", at=Instant(2026, 1, 1, 11, 59, tzinfo=UTC))) is None


@each_cell("run", [None, RUN])
def test_what_this_worker_has_begun_itself_is_nobody_elses(run: TrainingRun | None) -> None:
    assert found(run, asked_for("run-1"), known={"run-1"}) is None


@each_cell("code", ["lost_lock", "transport"])
def test_a_run_that_an_outage_has_ended_is_tried_again_once(code: str) -> None:
    lost = replace(RUN, result=TrainingResult("run-1", "failed", code=code))

    assert found(lost, asked_for("run-1")) == Leftover(None, 0, "run-1-again", "run-1")
    assert found(lost, asked_for("run-1"), known=["run-1-again"]) is None
    again = replace(lost, run_id="run-1-again", repeats="run-1")
    assert found(again, asked_for("run-1")) is None


def test_a_timers_run_that_an_outage_has_ended_is_tried_again_too() -> None:
    lost = replace(RUN, origin="timer", result=TrainingResult("run-1", "failed", code="transport"))

    assert found(lost) == Leftover(None, None, "run-1-again", "run-1")


@each_cell("code", ["timeout", "internal", "gate", None])
def test_a_run_that_failed_otherwise_is_not(code: str | None) -> None:
    failed = replace(RUN, result=TrainingResult("run-1", "failed", code=code))

    assert found(failed, asked_for("run-1")) is None
