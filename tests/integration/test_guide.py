"""What the rollout guide shows is so: its commands and files, on a real worker.

The blocks of its worked examples are run in the page's order, as one operator would type them. A
comment beneath a line is a claim of what holds after it.
"""

from __future__ import annotations

import re
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from harness.client import Client
from harness.fresh import environment_of, publish_model
from harness.workers import ROOT, Worker

from ops.cli import main
from registry.records import RolloutState
from registry.rollout import words_for
from registry.settings import Settings
from registry.trail import ramp_words

GUIDE = (ROOT / "docs" / "ROLLOUT_GUIDE.md").read_text("utf-8")
EXAMPLES = GUIDE.split("\n## Worked examples\n")[1].split("\n## ")[0]
BLOCK = re.compile(r"^```(yaml|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
USERS = 1_000
STRIDE = 617
"""From user to user: of any hundred in a row, the canary has its share. Prime to `USERS`."""
REQUESTS_A_BURST = 6
BURSTS_A_SECOND = 50
MOST_BURSTS = BURSTS_A_SECOND * 120
"""Traffic ends by itself, should the test hang."""


@pytest.fixture
def busy_worker(
    client: Client, topics_created: Settings, start_worker: Callable[..., Worker]
) -> Iterator[Worker]:
    """A worker on v0.1 with two more versions, the third of a tenth of the users; users ask."""
    for users in (USERS, USERS, USERS // 10):
        publish_model(topics_created, users=users)
    seeded = topics_created.model_copy(update={"model_version": "v0.1"})
    worker = start_worker(seeded).wait_ready()
    done = threading.Event()

    def keep_asking() -> None:
        for burst in range(MOST_BURSTS):
            if done.wait(1 / BURSTS_A_SECOND):
                return
            first = burst * REQUESTS_A_BURST
            client.send(
                {"request_id": f"g{number}", "user_id": number * STRIDE % USERS + 1}
                for number in range(first, first + REQUESTS_A_BURST)
            )

    asking = threading.Thread(target=keep_asking)
    asking.start()
    yield worker
    done.set()
    asking.join()


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
            state = msgspec.convert(document, RolloutState, str_keys=True)
            strategies.add(state.strategy)
            seen = f"{line}\nexit code {code}\n{printed}\n{state}"
            assert code == exit_code_of(claims), seen
            for claim in claims:
                assert holds(claim, state, printed), f"{claim}\n{seen}"
    assert strategies == {"fixed", "canary", "ab_test", "shadow"}


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
    kind, _, said = claim.partition(" ")
    if kind == "strategy":
        return claim == words_for(state)
    if kind == "ramp":
        return re.fullmatch(pattern(said), ramp_words(state.ramp)) is not None
    if kind == "refused:":
        return f"({said})" in printed
    return claim == "exit code 1" or re.search(pattern(claim), printed) is not None


def pattern(words: str) -> str:
    return re.escape(words).replace("…", ".*")


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
