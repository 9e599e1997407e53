"""Which commit a version is said to come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from registry.settings import Settings
from training.runs.provenance import code_sha


def test_the_setting_goes_before_the_checkout() -> None:
    assert code_sha(Settings.model_validate({"GIT_SHA": "abc"})) == "abc"


def test_without_the_setting_it_is_the_checkouts_commit(tmp_path: Path) -> None:
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True)
    assert len(code_sha(Settings(), tmp_path)) == 40


def test_outside_of_a_checkout_it_is_unknown(tmp_path: Path) -> None:
    assert code_sha(Settings(), tmp_path) == ""
