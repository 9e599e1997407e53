import json

import pytest
from rich.console import Console

from ops import terminal
from registry.manifest import Check, Gate
from registry.records import (
    AnswerError,
    CommandResult,
    Item,
    Provenance,
    Response,
    RolloutState,
    TrainingResult,
)


def shown(*renderables: object) -> str:
    console = Console(width=100, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        for one in renderables:
            console.print(one)
    return captured.get()


def answer(**fields: object) -> Response:
    provenance = Provenance("production", "w1", 2.5, strategy="canary", rollout_epoch=7, bucket=3)
    return Response(
        **{"request_id": "r", "user_id": 1, "status": "ok", "provenance": provenance} | fields
    )


def test_an_answer_shows_titles_scores_version_and_provenance() -> None:
    response = answer(
        items=[Item(31, 0.75, "Brackets [bold] (1995)")],
        model_version="v0.2",
        variant="canary",
        source="model",
    )
    text = shown(*terminal.answer_tables(response))
    for part in ("Brackets [bold] (1995)", "0.750", "v0.2 · canary · model", "epoch 7", "2.5 ms"):
        assert part in text


def test_an_error_answer_shows_its_reason() -> None:
    text = shown(*terminal.answer_tables(answer(status="error", error=AnswerError("x", "why"))))
    assert "x: why" in text


def test_a_fixed_state_shows_no_percentage() -> None:
    fixed = RolloutState("production", 3, "fixed", "v0.1", canary_percentage=10)
    canary = RolloutState("production", 3, "canary", "v0.1", "v0.2", 12.5, "hash")
    assert "%" not in shown(terminal.state_table(fixed))
    assert "12.5 %" in shown(terminal.state_table(canary))


def test_a_bucketing_that_the_next_canary_begins_with_is_shown_under_fixed_too() -> None:
    fixed = RolloutState("production", 3, "fixed", "v0.1")
    dealt = RolloutState("production", 3, "fixed", "v0.1", bucketing="hash", salt="s1")
    assert "bucketing" not in shown(terminal.state_table(fixed))
    assert "hash, kept for the next canary" in shown(terminal.state_table(dealt))
    assert "s1" in shown(terminal.state_table(dealt))


def test_no_word_of_a_header_is_broken_however_long_the_cells() -> None:
    table = terminal.grid(("a long header", "interactions #"), [("x" * 300, 1)])
    first, *_ = (line for line in shown(table).splitlines() if line.strip())
    assert "interactions" in first


def test_a_command_without_an_epoch_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_result(CommandResult("c", "retrain", "production", "applied", None, "me", "now"))
    assert capsys.readouterr().out == "retrain applied\n"


def test_each_strategy_shows_what_it_uses_and_nothing_else() -> None:
    ab_test = RolloutState("production", 3, "ab_test", "v0.1", "v0.2", 10.0, salt="s")
    shadow = RolloutState("production", 3, "shadow", "v0.1", "v0.2", shadow_sample_percentage=20)
    assert "50 %" in shown(terminal.state_table(ab_test))
    assert "sample" not in shown(terminal.state_table(ab_test))
    assert "20 % of users" in shown(terminal.state_table(shadow))
    assert "bucketing" not in shown(terminal.state_table(shadow))


def test_a_refused_training_shows_the_check_that_failed_and_the_reason() -> None:
    gate = Gate(False, (Check("users", "fail", "1", "at least 20"),))
    result = TrainingResult("r", "refused", code="gate", reason="users", gate=gate)
    text = shown(*terminal.training_tables(result))
    assert "at least 20" in text
    assert "refused (gate): users" in text


def test_json_keeps_absent_fields_absent(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json(CommandResult("c", "swap", "production", "applied", 4, "me", "now"))
    assert "error" not in json.loads(capsys.readouterr().out)


def test_a_rejection_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = AnswerError("stale_epoch", "the epoch is now 5")
    terminal.print_result(
        CommandResult("c", "swap", "production", "rejected", 5, "me", "now", error=error)
    )
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "stale_epoch" in captured.err
