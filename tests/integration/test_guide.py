"""What the rollout guide and the tutorial show is so: their commands and files, on a real worker.

The blocks of the guide's worked examples are run in the page's order, as one operator would type
them; the `recstream traffic` that it has in another terminal runs all the while. A comment beneath
a line is a claim of what holds after it. What the tutorial has beneath a command is compared with
what is printed, as far as it is no matter of data, time or machine.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from harness.fresh import environment_of, publish_model
from harness.workers import ROOT, Worker

from ops.cli.main import main
from registry.rollout.current_phase import words_for
from registry.rollout.trail_wording import ramp_words
from registry.settings import Settings
from registry.wire.instants import read_instant
from registry.wire.rollout_state import RolloutState

GUIDE = (ROOT / "docs" / "ROLLOUT_GUIDE.md").read_text("utf-8")
EXAMPLES = GUIDE.split("\n## Worked examples\n")[1].split("\n## ")[0]
BLOCK = re.compile(r"^```(yaml|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
(TRAFFIC,) = re.findall(r"^\$ recstream (traffic .*)$", EXAMPLES, re.MULTILINE)
MOST_SECONDS = 120
"""Traffic ends by itself, should the test hang."""
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
SESSION = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
SAME_EVERYWHERE = re.compile(
    r"(strategy|(primary|canary|previous) versions?|canary percentage|bucket(ing)?|reason|version"
    r"|rollout|promote|rollback|rule|variant) | {4}\S"
)
"""How a line begins that says what the rules say."""
USERS = 1_000


@pytest.fixture
def busy_worker(topics_created: Settings, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker on v0.1 with two more versions, the third of a tenth of the users; users ask."""
    for users in (USERS, USERS, USERS // 10):
        publish_model(topics_created, users=users)
    seeded = topics_created.model_copy(update={"model_version": "v0.1"})
    worker = start_worker(seeded).wait_ready()
    asking = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ops.cli.main",
            *shlex.split(TRAFFIC),
            "--seconds",
            str(MOST_SECONDS),
        ],
        cwd=ROOT,
        env=os.environ | environment_of(topics_created),
        stdout=subprocess.PIPE,
        text=True,
    )
    yield worker
    asking.send_signal(signal.SIGINT)
    printed, _ = asking.communicate(timeout=60)
    assert asking.returncode == 0, printed
    assert re.search(r"^\d+,\d+ requests, 0 not answered$", printed, re.MULTILINE), printed


@pytest.fixture
def operator(
    topics_created: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], int]:
    """Run a line as a shell in a folder of its own would; return the exit code."""
    for variable, value in environment_of(topics_created).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> int:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def test_each_command_of_the_guide_does_what_the_guide_says(
    busy_worker: Worker,
    operator: Callable[[str], int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    strategies = set()
    for language, text in BLOCK.findall(EXAMPLES):
        if language == "yaml":
            name = text.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(text, "utf-8")
            continue
        for line, claims in commands_of(text):
            code = operator(line)
            printed = " ".join(" ".join(capsys.readouterr()).split())
            document = busy_worker.get("/rollout/status")["state"]
            state = msgspec.convert(document, RolloutState, str_keys=True, dec_hook=read_instant)
            strategies.add(state.strategy)
            seen = f"{line}\nexit code {code}\n{printed}\n{state}"
            assert code == exit_code_of(claims), seen
            for claim in claims:
                assert holds(claim, state, printed), f"{claim}\n{seen}"
    assert strategies == {"fixed", "canary", "ab_test", "shadow", "interleave"}


def test_each_command_of_the_tutorial_prints_what_the_tutorial_shows(
    topics_created: Settings,
    start_worker: Callable[..., Worker],
    operator: Callable[[str], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        publish_model(topics_created, users=USERS)
    start_worker(topics_created.model_copy(update={"model_version": "v0.2"})).wait_ready()
    compared = 0
    for line, shown in sessions_of(TUTORIAL):
        code = operator(line)
        printed = " ".join(" ".join(capsys.readouterr()).split())
        assert code == any("rejected" in line for line in shown), printed
        for shown_line in filter(SAME_EVERYWHERE.match, shown):
            assert re.search(words_of(shown_line), printed), f"{line}\n{shown_line}\n{printed}"
            compared += 1
    assert compared > 30


def words_of(shown: str) -> str:
    """Return a pattern for the words of a line, at whatever epoch."""
    return re.sub(r"epoch\\ \d+", r"epoch\\ \\d+", re.escape(" ".join(shown.split())))


def sessions_of(page: str) -> list[tuple[str, list[str]]]:
    """Return each command of a page's console blocks with the lines beneath it."""
    found: list[tuple[str, list[str]]] = []
    for block in SESSION.findall(page):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def commands_of(block: str) -> list[tuple[str, list[str]]]:
    """Return each line of a shell with the claims in the comments beneath it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("# "):
            found[-1][1].append(line.removeprefix("# "))
        else:
            assert line.startswith("recstream "), line
            found.append((line, []))
    return found


def exit_code_of(claims: list[str]) -> int:
    return int(any(claim.startswith(("refused: ", "exit code 1")) for claim in claims))


def holds(claim: str, state: RolloutState, printed: str) -> bool:
    """Tell whether a claim is so; ``…`` stands for anything."""
    kind, _, claimed = claim.partition(" ")
    if kind == "strategy":
        return claim == words_for(state)
    if kind == "ramp":
        return re.fullmatch(pattern(claimed), ramp_words(state.ramp)) is not None
    if kind == "refused:":
        return f"({claimed})" in printed
    return claim == "exit code 1" or re.search(pattern(claim), printed) is not None


def pattern(words: str) -> str:
    return re.escape(words).replace("…", ".*")


def test_a_line_of_the_tutorial_that_is_not_so_is_found() -> None:
    """The negative control: an epoch may differ, nothing else."""
    line = "rollout       canary epoch 13 bucket 9"
    assert re.search(words_of(line), "rollout canary epoch 7 bucket 9 learned from")
    assert not re.search(words_of(line), "rollout canary epoch 7 bucket 10")
    assert not re.search(words_of(line), "rollout canary epoch seven bucket 9")


@pytest.mark.parametrize(
    ("claim", "is_so"),
    [
        ("strategy fixed, primary v0.1", True),
        ("strategy fixed, primary v0.2", False),
        ("ramp none", True),
        ("ramp promoted", False),
        ("refused: stale_epoch", True),
        ("refused: no_ramp", False),
        ("the epoch is … now", True),
        ("the epoch was … now", False),
    ],
)
def test_a_claim_that_is_not_so_is_found(claim: str, is_so: bool) -> None:
    """The negative control: each kind of claim can fail."""
    state = RolloutState("production", 7, "fixed", "v0.1")

    assert holds(claim, state, "rejected (stale_epoch): the epoch is 7 now") is is_so
