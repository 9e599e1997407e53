"""Requests that were removed before they were read stay named, with their number."""

from __future__ import annotations

from datetime import UTC, datetime

from streams.watch.requests_cut_off import Losses


def test_nothing_lost_is_nothing_to_say() -> None:
    losses = Losses("reco.requests")
    losses.note(0, datetime(2026, 1, 1, tzinfo=UTC))
    assert losses.notice() is None


def test_losses_add_up_and_the_last_one_is_dated() -> None:
    losses = Losses("reco.requests")
    losses.note(3_000, datetime(2026, 1, 1, 10, tzinfo=UTC))
    losses.note(848, datetime(2026, 1, 1, 12, tzinfo=UTC))
    losses.note(0, datetime(2026, 1, 1, 13, tzinfo=UTC))
    notice = losses.notice()
    assert notice is not None
    assert "3,848 records of reco.requests" in notice.message
    assert "2026-01-01 12:00:00 UTC" in notice.message
