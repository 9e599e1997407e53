import json
import sys

import pytest

from ops import cli
from registry.errors import ConfigurationError, TransportError

COMMANDS = [
    "worker", "broker", "demo", "bench", "topics", "topics create", "topics check", "ingest",
    "request", "train", "retrain", "registry", "registry list", "registry show",
    "registry verify", "swap", "rollout", "rollout status", "rollout set", "rollout promote",
    "rollout rollback", "rollout abort",
]  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["recstream", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one != "bench"])
def test_every_command_has_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, *command.split(), "--help") == 0
    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["swap"],
        ["rollout", "set"],
        ["rollout", "set", "--percentage", "many"],
        ["rollout", "set", "--strategy", "bandit"],
        ["ingest", "/no/such/file.csv"],
        ["request", "1", "-k", "0"],
    ],
)
def test_wrong_usage_ends_with_2(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    assert run(monkeypatch, *words) == 2


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
    assert run(monkeypatch, "registry", "show", "v0.1", "--registry", "memory://x", "--json") == 2
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
