"""The limits of a run, and where it was made."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import numpy as np

from registry.settings import Settings
from training.runs.memory_limit import own_bytes, peak_memory_bytes, watch_memory
from training.runs.provenance import code_sha, is_dirty, provenance_of

MEGABYTE = 1_000_000


def test_memory_of_its_own_grows_with_what_a_run_touches() -> None:
    before = own_bytes()
    taken = np.ones(3 * MEGABYTE, np.float64)
    assert own_bytes() - before > 0.9 * taken.nbytes


def test_a_mapped_file_is_not_memory_of_its_own_but_counts_for_the_peak(tmp_path: Path) -> None:
    size = 12 * MEGABYTE
    (tmp_path / "factors").write_bytes(bytes(size))
    before = own_bytes()
    mapped = np.memmap(tmp_path / "factors", np.uint8, "r")
    assert mapped.sum() == 0  # touches every page
    assert own_bytes() - before < size / 4
    assert peak_memory_bytes() > own_bytes() + size / 2


def test_the_peak_stays_when_the_memory_is_given_back() -> None:
    taken = np.ones(3 * MEGABYTE, np.float64)
    peak = peak_memory_bytes()
    del taken
    assert peak_memory_bytes() > peak - MEGABYTE  # the kernel adds up in batches


def test_a_run_beyond_its_limit_is_ended_with_what_it_has_and_what_it_may() -> None:
    reasons, ended = list[str](), threading.Event()

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    watch_memory(MEGABYTE, end)
    assert ended.wait(60)
    assert reasons[0].startswith("ended at ")
    assert reasons[0].endswith(" bytes of memory, more than RETRAIN_MEMORY_BYTES=1000000")


def test_without_a_limit_nobody_watches() -> None:
    before = threading.active_count()
    watch_memory(0, lambda reason: None)
    assert threading.active_count() == before


# --- where it was made ---


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in NAMES}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **who}
    command = ["git", "-C", str(folder), *arguments]
    asked = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    return asked.stdout.strip()


NAMES = ("NAME", "EMAIL")


def test_a_checkout_is_clean_until_a_file_changes_or_is_added(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    assert code_sha(Settings(), tmp_path) == git(tmp_path, "rev-parse", "HEAD")
    assert is_dirty(Settings(), tmp_path) is False
    (tmp_path / "more.py").write_text("2")
    assert is_dirty(Settings(), tmp_path) is True


def test_outside_of_a_checkout_nobody_can_tell(tmp_path: Path) -> None:
    assert (code_sha(Settings(), tmp_path), is_dirty(Settings(), tmp_path)) == ("", None)
    image = Settings(git_sha="4f2a")
    assert (code_sha(image), is_dirty(image)) == ("4f2a", None)


def test_provenance_names_machine_interpreter_and_libraries() -> None:
    made = provenance_of(Settings(git_sha="4f2a", train_backend="spark"))
    assert made.host
    assert made.python.count(".") == 2
    assert made.backend == "spark"
    assert made.libraries["numpy"] == np.__version__
    assert {"implicit", "msgspec"} <= set(made.libraries)
