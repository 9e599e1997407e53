"""Open transactions: how much may be read, and when one that stays open is named."""

from __future__ import annotations

from harness.cells import each_cell

from streams.watch.open_transactions import OPEN_SECONDS, OpenTransactions
from streams.watch.read_progress import Progress

HELD = {0: Progress(position=5, stable_end=5, high_watermark=9)}
FREE = {0: Progress(position=9, stable_end=9, high_watermark=9)}


def an_eye() -> OpenTransactions:
    return OpenTransactions("reco.requests")


@each_cell(
    ("progress", "unread", "held_back"),
    [
        (Progress(None, None, None), 0, 0),  # nothing was fetched yet
        (Progress(None, 7, 7), 7, 0),  # no position yet: all of it
        (Progress(3, 7, 7), 4, 0),
        (Progress(7, 7, 7), 0, 0),
        (Progress(8, 7, 7), 0, 0),  # the end is as old as the last fetch
        (Progress(3, 7, 10), 4, 3),
        (Progress(7, 7, None), 0, 0),
    ],
)
def test_what_may_be_read_and_what_is_held_back(
    progress: Progress, unread: int, held_back: int
) -> None:
    assert (progress.unread, progress.held_back) == (unread, held_back)


def test_a_transaction_is_named_once_it_has_been_open_for_long_enough() -> None:
    eye = an_eye()
    eye.look(HELD, 100.0)
    assert eye.notice(100.0 + OPEN_SECONDS - 0.1) is None

    notice = eye.notice(100.0 + OPEN_SECONDS)
    assert notice is not None
    assert notice.code == "open_transaction"
    assert "reco.requests: partition 0 from offset 5 (4 records, for 10 s)" in notice.message


def test_transactions_that_follow_each_other_are_not_one_that_stays_open() -> None:
    eye = an_eye()
    for number in range(10):
        end = number * 4
        eye.look({0: Progress(end, end, end + 3)}, 100.0 + 5 * number)
        assert eye.notice(100.0 + 5 * number) is None


def test_more_records_behind_the_same_transaction_do_not_make_it_younger() -> None:
    eye = an_eye()
    eye.look(HELD, 100.0)
    eye.look({0: Progress(5, 5, 5000)}, 100.0 + OPEN_SECONDS)

    notice = eye.notice(100.0 + OPEN_SECONDS)
    assert notice is not None
    assert "4,995 records" in notice.message


@each_cell("progress", [FREE, {}])
def test_one_that_ended_or_moved_to_another_worker_is_forgotten(
    progress: dict[int, Progress],
) -> None:
    eye = an_eye()
    eye.look(HELD, 100.0)
    eye.look(progress, 150.0)
    assert eye.notice(150.0) is None
