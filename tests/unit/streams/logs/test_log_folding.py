"""Which lines of a log are shown, and as what."""

from __future__ import annotations

import logging

from harness.cells import each_cell

from streams.logs.log_folding import FOLD_SECONDS, MOST_KINDS, Folding, level_of


def test_the_first_line_of_a_kind_is_shown() -> None:
    folding = Folding()

    assert folding.admit("a", 0) == 0
    assert folding.admit("b", 0) == 0


def test_more_of_a_kind_within_a_minute_are_counted_and_shown_with_the_next() -> None:
    folding = Folding()
    folding.admit("a", 0)

    assert [folding.admit("a", at) for at in (1, 2, FOLD_SECONDS - 0.1)] == [None, None, None]
    assert folding.admit("a", FOLD_SECONDS) == 3
    assert folding.admit("a", FOLD_SECONDS + 1) is None
    assert folding.admit("a", 2 * FOLD_SECONDS) == 1


def test_a_kind_that_comes_once_a_minute_is_always_shown() -> None:
    folding = Folding()

    assert [folding.admit("a", n * FOLD_SECONDS) for n in range(3)] == [0, 0, 0]


def test_kinds_do_not_fill_the_memory() -> None:
    folding = Folding()
    for number in range(3 * MOST_KINDS):
        folding.admit(str(number), 0)

    assert len(folding._shown_at) <= MOST_KINDS


@each_cell(
    ("library", "message"),
    [
        ("aiokafka", "Unable connect to node with id 1: [Errno 111] Connect call failed"),
        (
            "librdkafka",
            "FAIL [rdkafka#producer-1] k:1/1: Connect to ipv4#1 failed: refused",
        ),
        ("librdkafka", "FAIL [thrd:ssl://k:1/1]: ssl://k:1/1: Connect to ipv4#1 failed: refused"),
        ("librdkafka", "FAIL sasl_ssl://k:1/1: Connect to ipv4#1 failed: refused"),
    ],
)
def test_which_broker_cannot_be_reached_is_told_as_no_error(library: str, message: str) -> None:
    assert level_of(library, logging.ERROR, message) == logging.INFO
    assert level_of(library, logging.WARNING, message) == logging.INFO


@each_cell(
    ("library", "message"),
    [
        ("aiokafka", "Heartbeat failed for group g because it is rebalancing"),
        ("aiokafka", "Failed fetch messages from 1: NodeNotReadyError"),
        ("mode", "Timer commit is overlapping (interval=1.0 runtime=33.5)"),
        (
            "librdkafka",
            "FAIL ssl://k:1/1: SSL handshake failed: Disconnected: connection reset by peer: "
            "connecting to a PLAINTEXT broker listener? (after 8ms in state SSL_HANDSHAKE)",
        ),
    ],
)
def test_what_a_library_mends_by_itself_is_not_shown(library: str, message: str) -> None:
    assert level_of(library, logging.ERROR, message) == logging.DEBUG


@each_cell(
    ("library", "message"),
    [
        ("aiokafka", "Topic authorization failed for topic t"),
        ("aiokafka", "Unexpected error in coordinator routine"),
        ("librdkafka", "FAIL [rdkafka#producer-1] SSL handshake failed: certificate expired"),
        ("librdkafka", "FAIL [rdkafka#producer-1] SASL authentication error"),
        ("librdkafka", "FAIL ssl://k:1/1: SSL handshake failed: error:0A000086: verify failed"),
        ("librdkafka", "FAIL sasl_ssl://k:1/1: SASL mechanism SCRAM-SHA-256 is not supported"),
        ("faust", "agent crashed"),
        ("streams", "Unable connect to node"),
    ],
)
def test_what_needs_somebody_stays_an_error(library: str, message: str) -> None:
    assert level_of(library, logging.ERROR, message) == logging.ERROR


def test_what_is_informative_stays_so() -> None:
    assert level_of("aiokafka", logging.DEBUG, "Heartbeat") == logging.DEBUG
