"""Exposures: counts of confirmed answers, of the state that is acted on and of no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from harness.builders import NOW_MS

from registry.guardrails import distinct_users
from registry.guardrails.histogram import MAPPING, bucket_counts
from registry.wire.counts import ArmCounts
from registry.wire.field_types import Variant
from streams.serving.arm_counts import Exposures
from streams.serving.batch_results import Answer, Batch, SentRequests
from tests.unit.registry.builders import a_canary_state, a_state

CANARY = a_canary_state()
AN_ANSWER = Answer(b"1", b"{}", "r1", "v0.2", NOW_MS)


class Got(NamedTuple):
    """What the users of one arm got in a batch; ``scoring`` in seconds."""

    requests: int
    errors: int = 0
    fallbacks: int = 0
    empty: int = 0
    users: Iterable[int] = ()
    scoring: Sequence[float] = ()


def a_batch(epoch: int | None = 7, **arms: Got) -> Batch:
    """Return a batch whose arms got what is given."""
    batch = Batch(epoch)
    versions = {"primary": "v0.1", "A": "v0.1", "canary": "v0.2", "B": "v0.2"}
    for arm, (*counts, users, scoring) in arms.items():
        batch.count(ArmCounts(arm, versions[arm], *counts))
        batch.scoring[arm] = bucket_counts(np.array(scoring))
        batch.users[cast(Variant, arm)].update(users)
    return batch


def sent(*ago_ms: int, arm: Variant | None = "canary") -> SentRequests:
    return SentRequests("v0.2", arm, NOW_MS - np.array(ago_ms))


def counted(*batches: Batch, exposures: Exposures | None = None) -> Exposures:
    exposures = exposures or Exposures()
    for batch in batches:
        exposures.count(batch, NOW_MS)
    return exposures


def test_before_the_first_answer_there_is_nothing_to_tell() -> None:
    assert Exposures().arms(None) == ()
    assert Exposures().arms(CANARY) == ()


def test_batches_add_up_by_arm() -> None:
    first = Got(3, 1, 1, 0, {1, 2}, [0.001])
    other = Got(2, 0, 0, 1, {2, 3}, [0.001, 0.2])
    exposures = counted(a_batch(canary=first), a_batch(canary=other, primary=Got(9, users={7})))
    primary, canary = exposures.arms(CANARY)
    assert (primary.variant, primary.version, primary.requests) == ("primary", "v0.1", 9)
    assert (canary.variant, canary.version) == ("canary", "v0.2")
    assert (canary.requests, canary.errors, canary.fallbacks, canary.empty) == (5, 1, 1, 1)
    assert canary.users == 3
    assert canary.scoring == {MAPPING.key(0.001): 2, MAPPING.key(0.2): 1}


def test_the_latency_is_from_the_requests_timestamp_to_the_confirmation() -> None:
    batch = a_batch(canary=Got(2))
    batch.sent += [sent(40, 40), sent(40, arm=None)]
    (canary,) = counted(batch).arms(CANARY)
    assert canary.latency == {MAPPING.key(0.04): 2}


def test_a_request_from_the_future_is_counted_and_its_latency_is_not() -> None:
    batch = a_batch(canary=Got(2))
    batch.sent.append(sent(-1, 0))
    (canary,) = counted(batch).arms(CANARY)
    assert (canary.requests, sum(canary.latency.values())) == (2, 1)


def test_a_newer_state_begins_anew_and_a_late_batch_of_the_older_one_is_left_out() -> None:
    exposures = counted(a_batch(7, canary=Got(5, errors=5)), a_batch(9, canary=Got(1)))
    exposures = counted(a_batch(8, canary=Got(100, errors=100)), exposures=exposures)
    assert exposures.arms(CANARY) == ()
    (canary,) = exposures.arms(a_canary_state(epoch=9))
    assert (canary.requests, canary.errors) == (1, 0)


def test_a_state_under_which_nothing_was_answered_yet_has_no_counts() -> None:
    exposures = counted(a_batch(7, canary=Got(5)))
    assert exposures.arms(a_canary_state(epoch=8)) == ()
    assert exposures.arms(None) == ()


def test_answers_without_a_state_are_only_in_the_number_of_all() -> None:
    batch = a_batch(None)
    batch.answers += [AN_ANSWER] * 3
    exposures = counted(batch, a_batch(7, canary=Got(1)))
    assert (exposures.answered, len(exposures.arms(CANARY))) == (3, 1)


def test_answers_of_an_older_state_are_still_in_the_number_of_all() -> None:
    late = a_batch(6, canary=Got(1))
    late.answers.append(AN_ANSWER)
    assert counted(a_batch(7, canary=Got(1)), late).answered == 1


def test_the_arms_are_those_of_the_strategy() -> None:
    both: dict[str, Any] = {"A": Got(1), "B": Got(2)}
    arms = counted(a_batch(7, **both)).arms(a_canary_state(strategy="ab_test"))
    assert [(arm.variant, arm.version, arm.requests) for arm in arms] == [
        ("A", "v0.1", 1),
        ("B", "v0.2", 2),
    ]
    (primary,) = counted(a_batch(7, primary=Got(3))).arms(a_state())
    assert (primary.version, primary.requests) == ("v0.1", 3)


def test_no_more_users_are_kept_than_a_split_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct_users, "USERS_COUNTED", 100)
    batches = [
        a_batch(primary=Got(10, users=set(range(n, n + 10))), canary=Got(1, users={-n - 1}))
        for n in range(0, 1000, 10)
    ]
    primary, canary = counted(*batches).arms(CANARY)
    assert (primary.requests, canary.requests) == (1000, 100)
    assert 100 <= primary.users + canary.users <= 110
    assert primary.users == 10 * canary.users  # whoever comes first is counted, in either arm


def test_what_was_told_does_not_change_afterwards() -> None:
    exposures = counted(a_batch(canary=Got(1, scoring=[0.001])))
    (before,) = exposures.arms(CANARY)
    counted(a_batch(canary=Got(1, scoring=[0.001])), exposures=exposures)
    assert (before.requests, before.scoring) == (1, {MAPPING.key(0.001): 1})
