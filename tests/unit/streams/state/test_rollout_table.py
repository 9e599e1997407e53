"""The rollout table: what its owner writes, when, and what it leaves out."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from registry.guardrails.silent_workers import FORGET_SECONDS
from registry.rollout.command_log import ControlLog
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import write_instant
from streams.state.control_log_rewrites import MEND_SECONDS, MOST_MEND_SECONDS
from streams.state.rollout_table import RENEWALS_A_LOG, RolloutTable
from streams.state.rollout_view import RolloutView
from tests.unit.registry.builders import BEGAN_AT, a_canary_state, a_heartbeat, a_state


class Written(dict[str, Any]):
    """Stands in for Faust's table; keeps the order of all writes."""

    def __init__(self) -> None:
        self.keys_written: list[str] = []

    def __setitem__(self, key: str, value: Any) -> None:
        self.keys_written.append(key)
        super().__setitem__(key, value)


class Owner:
    """The rollout table of the control owner, and a clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        clock = SimpleNamespace(monotonic=lambda: self.now, time=time.time)
        monkeypatch.setattr("streams.state.rollout_table.time", clock)
        self.written, self.view = Written(), RolloutView(20)
        app: Any = SimpleNamespace(GlobalTable=lambda *_, **__: self.written)
        self.table = RolloutTable(app, "reco.control", self.view, lambda: None)

    def echo(self, key: str, value: Any) -> None:
        """Bring a record of the changelog."""
        event: Any = SimpleNamespace(
            key=key, value=msgspec.to_builtins(value, str_keys=True, enc_hook=write_instant)
        )
        asyncio.run(self.table._on_changelog_event(event))

    def hear(self, *heartbeats: Heartbeat) -> None:
        self.view.hear(heartbeats, BEGAN_AT)

    def mended(self, seconds: float, *, hears: bool = True) -> int:
        """Look twice a second for so long; return how often the log was written."""
        self.written.keys_written.clear()
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            if hears:
                self.view.note_end(self.now)
            self.table.mend(self.now)
        return self.written.keys_written.count("log")


NEWEST = ControlLog(7, a_state())


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Owner:
    """An owner that has written the log of offset 7, which has come back to it."""
    owner = Owner(monkeypatch)
    owner.table.write_log(NEWEST)
    owner.echo("log", NEWEST)
    return owner


def test_where_nobody_misses_the_log_nothing_is_written_ever_again(owner: Owner) -> None:
    owner.hear(a_heartbeat(log_offset=7), a_heartbeat("w2", log_offset=8))
    assert owner.mended(3600) == 0


def test_a_log_that_a_worker_misses_is_written_again_after_a_while(owner: Owner) -> None:
    owner.hear(a_heartbeat(log_offset=6))
    assert owner.mended(MEND_SECONDS - 0.5) == 0
    assert owner.mended(0.5) == 1
    assert owner.written["log"] == msgspec.to_builtins(
        NEWEST, str_keys=True, enc_hook=write_instant
    )


def test_a_worker_that_misses_it_for_ever_does_not_fill_the_changelog(owner: Owner) -> None:
    owner.hear(a_heartbeat(log_offset=6))
    assert 3600 / MOST_MEND_SECONDS <= owner.mended(3600) <= 3600 / MOST_MEND_SECONDS + 6


def test_an_older_log_that_was_written_over_the_newest_is_mended_and_the_view_never_shows_it(
    owner: Owner,
) -> None:
    owner.echo("log", ControlLog(6, a_canary_state(epoch=6)))
    assert owner.view.log is NEWEST
    assert owner.mended(MEND_SECONDS) == 1
    owner.echo("log", NEWEST)
    assert owner.mended(3600) == 0


def test_an_owner_that_has_just_woken_up_writes_nothing_before_it_has_heard_the_others(
    owner: Owner,
) -> None:
    owner.view.note_end(owner.now)
    owner.hear(a_heartbeat(log_offset=6))
    owner.now += 25
    assert owner.mended(60, hears=False) == 0
    owner.hear(a_heartbeat("w2", log_offset=8, at=BEGAN_AT + 1))
    assert owner.mended(60) == 0


def test_a_write_that_never_reached_the_changelog_is_repeated(owner: Owner) -> None:
    owner.table.write_log(ControlLog(8, a_state()))
    assert owner.mended(MEND_SECONDS) == 1


def test_the_echo_of_an_earlier_write_is_waited_out(owner: Owner) -> None:
    newer = ControlLog(8, a_state())
    owner.table.write_log(newer)
    owner.echo("log", NEWEST)
    assert owner.mended(1) == 0
    owner.echo("log", newer)
    assert owner.mended(60) == 0


@pytest.mark.parametrize(
    "other",
    [
        {"reasons": ("recovering",)},
        {"stopping": True},
        {"log_offset": None},
        {"at": BEGAN_AT - 60},
    ],
    ids=["still reads", "stops", "of the release before", "was silent of late"],
)
def test_a_worker_that_cannot_miss_it_leads_to_no_write(
    owner: Owner, other: dict[str, Any]
) -> None:
    owner.hear(a_heartbeat("owner", log_offset=7), a_heartbeat(**{"log_offset": 6} | other))
    assert owner.mended(60) == 0


# --- the release before ---------------------------------------------------------------------


def test_workers_of_the_release_before_get_lease_and_log_as_they_read_them(owner: Owner) -> None:
    owner.hear(a_heartbeat("old"))
    owner.written.keys_written.clear()
    for _ in range(RENEWALS_A_LOG):
        owner.table.serve_predecessors(BEGAN_AT)
    assert owner.written["lease"] == {"at": BEGAN_AT, "last_offset": 7}
    assert owner.written.keys_written == ["lease"] * (RENEWALS_A_LOG - 1) + ["log", "lease"]


def test_their_rows_stay_while_they_are_heard_and_go_when_they_are_gone(owner: Owner) -> None:
    owner.written["fleet:old@1"] = {}
    owner.hear(a_heartbeat("old"))
    owner.table.serve_predecessors(BEGAN_AT + FORGET_SECONDS)
    assert "fleet:old@1" in owner.written
    owner.written.keys_written.clear()
    owner.table.serve_predecessors(BEGAN_AT + FORGET_SECONDS + 1)
    assert set(owner.written) == {"log", "lease"}
    assert owner.written.keys_written == []


def test_an_owner_of_the_release_before_renews_the_lease_by_the_table(owner: Owner) -> None:
    now = time.time()
    owner.echo("lease", {"at": now, "last_offset": 7})
    assert owner.view.lease.holds(now)


def test_what_the_release_before_left_of_the_fleet_is_passed_over(owner: Owner) -> None:
    owner.echo("fleet:old@1", a_heartbeat("old"))
    owner.echo("fleet:old@1", None)
    assert owner.view.fleet == ()


def test_a_record_that_does_not_decode_changes_nothing(
    owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    owner.echo("log", "no log")
    assert owner.view.log is NEWEST
    assert "does not decode" in caplog.text
