"""Notices are logged when they come and when they go, not each time that they are seen."""

from __future__ import annotations

import logging

import pytest

from streams.watch.notice_log import Notices
from streams.watch.notices import Notice


def test_a_notice_is_logged_once_while_it_stays_and_again_when_it_comes_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    notices = Notices()
    for seconds in range(3):
        notices.log([Notice("open_transaction", f"open for {seconds} s")])
    notices.log([])
    notices.log([Notice("open_transaction", "open for 10 s")])

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "open_transaction: open for 0 s"),
        ("INFO", "open_transaction: over"),
        ("WARNING", "open_transaction: open for 10 s"),
    ]
