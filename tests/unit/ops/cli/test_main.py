import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ops.cli import main as cli
from ops.cli.options import moment_of
from ops.docs import cli_page
from registry.errors import ConfigurationError, TransportError
from registry.ids import parse_id

COMMANDS = [
    "worker", "broker", "demo", "bench", "topics", "topics create", "topics check", "ingest",
    "request", "train", "retrain", "registry", "registry list", "registry show", "registry ids",
    "registry verify", "swap", "rollout", "rollout status", "rollout set", "rollout promote",
    "rollout rollback", "rollout abort", "rollout pause", "rollout resume", "rollout apply",
    "rollout history", "explain", "fleet",
]  # fmt: skip


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    return dict(cli_page.commands())


@pytest.fixture(autouse=True)
def _built_once(monkeypatch: pytest.MonkeyPatch, commands: dict[str, Any]) -> None:
    """Typer would build all commands anew at each call, which takes longer than most tests."""
    monkeypatch.setattr(cli, "app", commands[""])


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["recstream", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_every_command_has_help(commands: dict[str, Any]) -> None:
    """What each of them says is in `docs/reference/cli.md`, which another test compares."""
    assert set(COMMANDS) <= set(commands)
    assert [name for name, command in commands.items() if not command.help] == []


@pytest.mark.parametrize("command", ["", "rollout", "rollout set", "rollout apply", "demo"])
def test_help_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, *command.split(), "--help") == 0
    assert re.search(rf"Usage: .*recstream {command}", capsys.readouterr().out)


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["swap"],
        ["rollout", "set"],
        ["rollout", "set", "--percentage", "many"],
        ["rollout", "set", "--strategy", "bandit"],
        ["ingest", "/no/such/file.csv"],
        ["ingest", __file__, "--title-columns", "item=id,title=name"],
        ["request", "1", "-k", "0"],
        ["rollout", "apply", "/no/such/file.yaml"],
        ["rollout", "apply", __file__, "--fit", "--ignore-traffic"],
        ["train", "--deploy", "ramp"],
        ["rollout", "status", "--follow", "--all-environments"],
        ["rollout", "history", "--since", "yesterday"],
        ["rollout", "history", "--type", "party"],
        ["rollout", "history", "--limit", "0"],
        ["fleet", "--watch", "--json"],
        ["explain"],
        ["items", "load", "/no/such/file.csv"],
        ["items", "load", __file__, "--label", "genre"],
        ["items", "withdraw"],
        ["items", "withdraw", "7", "--at", "tomorrow"],
    ],
)
def test_wrong_usage_ends_with_2(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    assert run(monkeypatch, *words) == 2


def test_an_event_kind_without_a_weight_is_warned_of_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "events.csv"
    file.write_text("user_id,item_id,event\n1,2,wacth\n1,,watch\n")
    assert run(monkeypatch, "ingest", str(file)) == 1
    seen = " ".join(capsys.readouterr().err.split())
    assert "warning: event `wacth` has no weight: training ignores 1 events" in seen
    assert "1 bad lines, but --max-bad allows 0; nothing was sent" in seen


def test_a_search_for_parameters_is_not_begun_if_their_file_has_no_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "tune", "--env", f"{tmp_path}/none/.env") == 2
    assert "--env" in capsys.readouterr().err
    unreadable = tmp_path / ".env"
    unreadable.write_bytes(b"A=\xff")
    assert run(monkeypatch, "tune", "--env", str(unreadable)) == 2
    assert f"--env {unreadable}: not text in UTF-8" in capsys.readouterr().err
    assert run(monkeypatch, "tune", "--env", str(tmp_path)) == 2
    assert f"--env {tmp_path}: not readable: Is a directory" in capsys.readouterr().err


RAMP = "canary_version: v0.2\nramp: {{steps: {steps}, hold_seconds: 60}}\n"


def test_a_plan_is_shown_without_a_broker_and_without_a_registry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY", "no-such-place://x")
    file = tmp_path / "ramp.yaml"
    file.write_text(RAMP.format(steps="[10, 100]"))
    assert run(monkeypatch, "rollout", "apply", str(file), "--dry-run", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["to_promote_seconds"] == 120
    assert "the number of users is unknown: MODEL_REGISTRY" in captured.err
    words = ["rollout", "apply", str(file), "--dry-run", "--users", "0"]
    assert run(monkeypatch, *words) == 0
    assert capsys.readouterr().err == ""


def test_a_dry_run_is_not_asked_for_a_fitted_plan_which_needs_the_workers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "ramp.yaml"
    file.write_text(RAMP.format(steps="[10, 100]"))

    assert run(monkeypatch, "rollout", "apply", str(file), "--dry-run", "--fit") == 2
    assert "--fit and --dry-run" in capsys.readouterr().err


@pytest.mark.parametrize(("steps", "code"), [("[50, 5]", 1), ("[500]", 2)])
def test_a_plan_that_cannot_be_ends_as_its_file_or_the_rules_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: str, code: int
) -> None:
    file = tmp_path / "ramp.yaml"
    file.write_text(RAMP.format(steps=steps))
    assert run(monkeypatch, "rollout", "apply", str(file), "--dry-run") == code


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", datetime(2026, 1, 31, 11, 58, 30, tzinfo=UTC)),
        ("2h", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("7d", datetime(2026, 1, 24, 12, tzinfo=UTC)),
        ("2026-01-05T13:00+01:00", datetime(2026, 1, 5, 12, tzinfo=UTC)),
        ("2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),
    ],
)
def test_a_time_is_given_as_a_moment_or_as_so_long_ago(text: str, moment: datetime) -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert moment_of("--since", text, now) == moment


def test_a_wrong_setting_ends_with_2_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECSTREAM_PARTITIONS", "many")
    assert run(monkeypatch, "topics", "check") == 2
    assert "RECSTREAM_PARTITIONS='many'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("wrong"), 2),
        (TransportError("gone"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    assert run(monkeypatch) == code


def test_with_json_an_error_is_json_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(monkeypatch, "registry", "show", "v0.1", "--registry", "no-such-place://x", "--json")
        == 2
    )
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "configuration"


def test_an_empty_registry_is_listed_as_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    assert run(monkeypatch, "registry", "list", "--registry", f"{tmp_path}/none", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"latest": None, "versions": []}


def test_a_version_that_is_not_there_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    assert run(monkeypatch, "registry", "show", "v0.9", "--registry", f"{tmp_path}") == 1
    assert "v0.9" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["request", "explain"])
@pytest.mark.parametrize("words", [["-5"], ["-5", "--json"], ["--json", "-5"], ["--", "-5"]])
def test_an_id_may_be_negative(command: str, words: list[str], commands: dict[str, Any]) -> None:
    context = commands[command].make_context(command, list(words))
    assert context.params["user"] == "-5"
    assert parse_id(context.params["user"]) == -5
    assert context.params["as_json"] == ("--json" in words)


@pytest.mark.parametrize("words", [["-x"], ["--unknown"], ["42", "-y"], ["-5", "--unknown"], []])
def test_an_option_that_does_not_exist_is_still_refused(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    assert run(monkeypatch, "request", *words) == 2
