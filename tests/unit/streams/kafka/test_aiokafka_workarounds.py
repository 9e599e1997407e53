"""In which order brokers are asked, and that the bootstrap list is never forgotten."""

from __future__ import annotations

import random
from collections import Counter

from aiokafka.client import ConnectionGroup
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from streams.kafka.aiokafka_workarounds import REQUEST_SECONDS, in_order_of_hope, patience


def test_brokers_are_asked_at_random() -> None:
    draw = random.Random(1)
    first = Counter(in_order_of_hope([1, 2, 3], {}, 0, draw)[0] for _ in range(300))

    assert set(first) == {1, 2, 3}
    assert min(first.values()) > 60


def test_a_broker_that_did_not_answer_is_asked_last() -> None:
    draw = random.Random(1)

    assert all(in_order_of_hope([1, 2, 3], {2: 30.0}, 10, draw)[-1] == 2 for _ in range(20))


def test_it_is_asked_in_its_turn_again_later() -> None:
    draw = random.Random(1)
    first = {in_order_of_hope([1, 2, 3], {2: 30.0}, 30, draw)[0] for _ in range(50)}

    assert 2 in first


def test_without_brokers_nobody_is_asked() -> None:
    assert in_order_of_hope([], {1: 30.0}, 10, random.Random(1)) == []


def test_a_request_that_needs_nobody_else_is_not_waited_for_long() -> None:
    for request in (MetadataRequest([]), FindCoordinatorRequest("group", 0)):
        assert patience(request, ConnectionGroup.DEFAULT) == REQUEST_SECONDS


def test_what_may_wait_for_other_members_or_replicas_is() -> None:
    produce = ProduceRequest(required_acks=-1, timeout=1000, topics=[], transactional_id=None)

    assert patience(produce, ConnectionGroup.DEFAULT) is None
    assert patience(MetadataRequest([]), ConnectionGroup.COORDINATION) is None
