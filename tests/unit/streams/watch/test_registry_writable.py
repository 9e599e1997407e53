"""Whether a training could publish: found at a worker's start, and until it is mended."""

from __future__ import annotations

import asyncio
from pathlib import Path

from registry.versions.store import Store
from streams.watch.registry_writable import LOOK_SECONDS, PublishingCheck


def look(check: PublishingCheck, now: float) -> str | None:
    asyncio.run(check.look(now))
    notice = check.notice()
    return None if notice is None else notice.message


def test_a_registry_that_can_be_written_to_is_nothing_to_say(tmp_path: Path) -> None:
    check = PublishingCheck(Store(str(tmp_path)), writes=True)
    assert look(check, 0) is None
    (tmp_path / "latest.txt").write_text("garbage")
    assert look(check, 10 * LOOK_SECONDS) is None, "what went well is not looked at again"


def test_what_is_wrong_is_said_until_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "latest.txt").write_text("garbage")
    check = PublishingCheck(Store(str(tmp_path)), writes=True)
    assert "latest.txt holds 'garbage'" in str(look(check, 0))
    (tmp_path / "latest.txt").unlink()
    assert "latest.txt holds 'garbage'" in str(look(check, LOOK_SECONDS - 1)), "not all the time"
    assert look(check, LOOK_SECONDS) is None


def test_a_read_only_registry_is_no_problem_of_a_worker_that_publishes_by_no_timer(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    url = str(tmp_path / "file" / "models")
    assert look(PublishingCheck(Store(url), writes=False), 0) is None
    assert "nothing can be published" in str(look(PublishingCheck(Store(url), writes=True), 0))
