"""Reading has stalled when records that were there at one look are unread at the next."""

from __future__ import annotations

from registry.read_stall import LOOK_SECONDS, ReadStall


def test_a_look_is_due_every_few_seconds() -> None:
    stall = ReadStall(100.0)
    assert not stall.is_due(100.0 + LOOK_SECONDS - 0.1)
    assert stall.is_due(100.0 + LOOK_SECONDS)
    stall.look(106.0, {}, {})
    assert not stall.is_due(107.0)


def test_one_partition_that_stands_still_before_its_end_is_a_stall_whatever_the_others_do() -> None:
    stall = ReadStall(0.0)
    assert not stall.look(5.0, {0: 10, 1: 20}, {0: 12, 1: 90})
    assert stall.look(10.0, {0: 10, 1: 80}, {0: 15, 1: 200})


def test_reading_that_goes_on_or_is_at_the_end_has_not_stalled() -> None:
    stall = ReadStall(0.0)
    assert not stall.look(5.0, {0: 10, 1: 20}, {0: 12, 1: 20})
    assert not stall.look(10.0, {0: 11, 1: 20}, {0: 900, 1: 20})
    assert not stall.look(15.0, {0: 900, 1: 20}, {0: 900, 1: 21})


def test_a_broker_that_does_not_answer_is_no_stall() -> None:
    stall = ReadStall(0.0)
    assert not stall.look(5.0, {0: 10}, {0: 12})
    assert not stall.look(10.0, {0: 10}, {})
    assert not stall.look(15.0, {0: 10}, {0: 12})
    assert stall.look(20.0, {0: 10}, {0: 12})
