import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from harness.cells import each_cell
from rich.console import Console
from rich.panel import Panel

from ops.views import terminal
from ops.views.answer_tables import answer_tables
from ops.views.escape_text import ACTING, EscapingFormatter
from ops.views.rollout_tables import (
    fleet_table,
    print_result,
    state_table,
    states_table,
    trail_lines,
)
from ops.views.training_progress import StageDisplay
from ops.views.training_tables import training_tables
from registry.error_codes import FallbackCode
from registry.wire.command_results import CommandResult
from registry.wire.field_types import AnswerError
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import BEGINNING, Instant
from registry.wire.responses import Item, Provenance, Response
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.gate_results import Check, Gate
from registry.wire.training_records.training_messages import TrainingResult


def shown(*renderables: object) -> str:
    console = Console(width=100, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
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
    text = shown(*answer_tables(response))
    for part in ("Brackets [bold] (1995)", "0.750", "v0.2 · canary · model", "epoch 7", "2.5 ms"):
        assert part in text


def test_a_new_item_is_marked() -> None:
    response = answer(items=[Item(31, 0.75, vector_offset=7)], model_version="v0.2")
    assert "(new: the version does not know it)" in shown(*answer_tables(response))


def test_an_error_answer_shows_its_reason() -> None:
    text = shown(*answer_tables(answer(status="error", error=AnswerError("x", "why"))))
    assert "x: why" in text


def test_an_answer_to_an_id_of_the_other_type_shows_both_ids() -> None:
    mistyped = answer(
        user_id="42", fallback_reason=FallbackCode.USER_ID_OF_OTHER_TYPE, model_version="v0.2"
    )
    text = " ".join(shown(*answer_tables(mistyped)).split())
    assert "user_id_of_other_type: v0.2 knows 42, you asked for a string, '42'" in text


def test_a_fixed_state_shows_no_percentage() -> None:
    fixed = RolloutState("production", 3, "fixed", "v0.1", canary_percentage=10)
    canary = RolloutState("production", 3, "canary", "v0.1", "v0.2", 12.5, "hash")
    assert "%" not in shown(state_table(fixed))
    assert "12.5 %" in shown(state_table(canary))


def test_a_bucketing_that_the_next_canary_begins_with_is_shown_under_fixed_too() -> None:
    fixed = RolloutState("production", 3, "fixed", "v0.1")
    dealt = RolloutState("production", 3, "fixed", "v0.1", bucketing="hash", salt="s1")
    assert "bucketing" not in shown(state_table(fixed))
    assert "hash, kept for the next canary" in shown(state_table(dealt))
    assert "s1" in shown(state_table(dealt))


def test_no_word_of_a_header_is_broken_however_long_the_cells() -> None:
    table = terminal.grid(("a long header", "interactions #"), [("x" * 300, 1)])
    first, *_ = (line for line in shown(table).splitlines() if line.strip())
    assert "interactions" in first


def test_a_command_without_an_epoch_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(CommandResult("c", "retrain", "production", "applied", None, "me", BEGINNING))
    assert capsys.readouterr().out == "retrain applied\n"


def test_each_strategy_shows_what_it_uses_and_nothing_else() -> None:
    ab_test = RolloutState("production", 3, "ab_test", "v0.1", "v0.2", 10.0, salt="s")
    shadow = RolloutState("production", 3, "shadow", "v0.1", "v0.2", shadow_sample_percentage=20)
    assert "50 %" in shown(state_table(ab_test))
    assert "sample" not in shown(state_table(ab_test))
    assert "20 % of users" in shown(state_table(shadow))
    assert "bucketing" not in shown(state_table(shadow))


def test_a_refused_training_shows_the_check_that_failed_and_the_reason() -> None:
    gate = Gate(False, (Check("users", "fail", "1", "at least 20"),))
    result = TrainingResult("r", "refused", code="gate", reason="users", gate=gate)
    text = shown(*training_tables(result))
    assert "at least 20" in text
    assert "refused (gate): users" in text


def test_a_published_version_that_is_not_deployed_says_so() -> None:
    result = TrainingResult("r", "published", "v0.2", code="not_announced", reason="a ramp")
    text = shown(*training_tables(result))
    assert "published v0.2" in text
    assert "not deployed (not_announced): a ramp" in text


def test_json_keeps_absent_fields_absent(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json(CommandResult("c", "swap", "production", "applied", 4, "me", BEGINNING))
    assert "error" not in json.loads(capsys.readouterr().out)


def test_a_rejection_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = AnswerError("stale_epoch", "the epoch is now 5")
    print_result(
        CommandResult("c", "swap", "production", "rejected", 5, "me", BEGINNING, error=error)
    )
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "stale_epoch" in captured.err


ATTACK = "\x1b]52;c;aGk=\x07\x9b2J\r\u202e\x00"
HARMLESS = r"\x1b]52;c;aGk=\x07\x9b2J\x0d\u202e\x00"


def on_a_terminal(*renderables: Any) -> str:
    """Return what a colour terminal gets, without the colours that are ours."""
    console = terminal.PlainConsole(width=200, file=io.StringIO(), force_terminal=True)
    for renderable in renderables:
        console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())


def hostile_results() -> list[Any]:
    state = RolloutState(
        "production", 7, "fixed", "v0.1", updated_by=ATTACK, reason=ATTACK, salt=ATTACK
    )
    error = AnswerError("bad", ATTACK)
    refused = CommandResult(
        ATTACK,
        "swap",
        ATTACK,
        "rejected",
        7,
        ATTACK,
        Instant.read("2026-01-01T00:00:00Z"),
        error,
        reason=ATTACK,
    )
    item = Item(ATTACK, 0.5, ATTACK)
    beat = Heartbeat(
        ATTACK, "i", "production", 0.0, url=ATTACK, ready=(ATTACK,), failures={ATTACK: ATTACK}
    )
    return [
        state_table(state),
        states_table([state]),
        trail_lines([refused]),
        *answer_tables(answer(user_id=ATTACK, items=[item], error=error))[:2],
        fleet_table([beat], 1.0, 4),
        terminal.pairs({"a": ATTACK}, title=ATTACK),
        terminal.grid((ATTACK,), [(ATTACK,)], title=ATTACK),
        ATTACK,
        Panel(ATTACK, title=ATTACK),
    ]


@each_cell("shown", hostile_results())
def test_no_text_of_others_acts_on_a_terminal_in_whatever_it_is_shown(shown: Any) -> None:
    seen = on_a_terminal(shown)
    assert not ACTING.search(seen)
    assert "]52;c;aGk=" in seen


def test_what_would_act_is_shown_whole_and_keeps_a_table_in_line() -> None:
    seen = on_a_terminal(terminal.grid(("item", "title"), [(1, ATTACK), (2, "x")]))
    assert HARMLESS in seen


def test_texts_of_others_cannot_look_like_lines_of_ours() -> None:
    forged = "anna\n2026-01-01 swap applied"
    result = CommandResult(
        "c", "swap", "production", "applied", 1, forged, Instant.read("2026-01-01T00:00:00Z")
    )
    assert "\n2026-01-01 swap" not in on_a_terminal(trail_lines([result]))
    assert r"by anna\n2026-01-01 swap applied" in on_a_terminal(trail_lines([result]))


def test_no_text_of_others_is_read_as_markup() -> None:
    assert "[red]x[/] :smile:" in on_a_terminal("[red]x[/] :smile:")


def test_json_for_machines_keeps_every_character_and_acts_on_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.print_json({"title": ATTACK, "plain": "ä"})
    printed = capsys.readouterr().out
    assert not ACTING.search(printed)
    assert json.loads(printed) == {"title": ATTACK, "plain": "ä"}


def test_progress_shows_no_text_of_others_raw() -> None:
    console = terminal.PlainConsole(width=200, file=io.StringIO(), force_terminal=True)
    with StageDisplay(console) as display:
        display.show("fit", 1, 2, f"[red]{ATTACK}")
    seen = console.file.getvalue()
    assert "\x1b]52" not in seen
    assert r"[red]\x1b]52" in seen


def test_the_log_shows_no_text_of_others_raw() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "user %s", (ATTACK,), None)
    assert EscapingFormatter("%(message)s").format(record) == f"user {HARMLESS}"


def test_no_module_shows_texts_but_by_the_ones_that_escape() -> None:
    raw = re.compile(r"from rich\.(text|console) import .*\b(Text|Console)\b|\bConsole\(")
    apart = ("terminal.py", "rule_drawings.py")
    paths = [path for path in Path("ops").rglob("*.py") if path.name not in apart]
    assert len(paths) > 50
    for path in paths:
        found = [line for line in path.read_text().splitlines() if raw.search(line)]
        assert [line for line in found if "import Console" not in line] == [], path
