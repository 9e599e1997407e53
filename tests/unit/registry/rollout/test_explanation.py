"""The explanation of an assignment says what the assignment does."""

from __future__ import annotations

from typing import Any

from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from registry.rollout.assignment import assign, bucket_of
from registry.rollout.explanation import differences, explain
from registry.wire.responses import Provenance, Response
from tests.unit.registry.builders import a_canary_state, a_state


@each_cell(
    ("user_id", "state", "sentence"),
    [
        (
            7,
            a_state(),
            "strategy fixed: the primary version answers every user: primary, v0.1",
        ),
        (
            1234,
            a_canary_state(),
            "1234 % 100 = 34; canary gets the buckets below 10 of 100 (10 %): primary, v0.1",
        ),
        (
            -91,
            a_canary_state(),
            "-91 % 100 = 9; canary gets the buckets below 10 of 100 (10 %): canary, v0.2",
        ),
        (
            "anna",
            a_canary_state(salt="s", bucketing="hash", canary_percentage=0.25),
            "murmur3('s:anna') % 10000 = 7226; canary gets the buckets below 25 of 10000 "
            "(0.25 %): primary, v0.1",
        ),
        (
            5,
            a_canary_state(strategy="ab_test"),
            "5 % 100 = 5; B gets the odd buckets, A the others: B, v0.2",
        ),
        (
            "anna",
            a_canary_state(strategy="ab_test", salt="s"),
            "murmur3('s:anna') % 10000 = 7226; B gets the buckets from 5000 on, A the others: "
            "B, v0.2",
        ),
        (
            5,
            a_canary_state(strategy="shadow", shadow_sample_percentage=0.0),
            "strategy shadow: the primary version answers every user, this one is not among the "
            "0 % that v0.2 shadows: primary, v0.1",
        ),
    ],
)
def test_the_sentence_names_bucket_rule_variant_and_version(
    user_id: Any, state: Any, sentence: str
) -> None:
    assert explain(user_id, state).sentence == sentence


@given(
    user_id=st.integers() | st.text(min_size=1),
    strategy=st.sampled_from(["fixed", "canary", "ab_test", "shadow"]),
    bucketing=st.sampled_from(["modulo", "hash"]),
    percentage=st.integers(0, 100),
)
def test_it_says_what_the_assignment_is(
    user_id: Any, strategy: str, bucketing: Any, percentage: int
) -> None:
    state = a_canary_state(
        strategy=strategy, bucketing=bucketing, canary_percentage=float(percentage), salt="x"
    )
    explained, assigned = explain(user_id, state), assign(user_id, state)

    assert (explained.variant, explained.version, explained.bucket) == assigned
    assert explained.sentence.endswith(f": {assigned.variant}, {assigned.version}")
    assert (explained.epoch, explained.environment, explained.salt) == (7, "production", "x")
    if explained.bucket is not None:
        assert (explained.bucket, explained.buckets) == bucket_of(user_id, bucketing, "x")


def test_of_interleaved_versions_both_answer_or_one_with_a_reason() -> None:
    state = a_canary_state(strategy="interleave")
    explained = explain(109, state)
    rule = Provenance("production", "w1", strategy="interleave", rollout_epoch=7)
    both = Response("r", 109, "ok", rule, versions={"primary": "v0.1", "canary": "v0.2"})
    alone = Response(
        "r", 109, "ok", rule, model_version="v0.2", variant="canary",
        assigned_version="v0.1", fallback_reason="not_interleaved",
    )  # fmt: skip

    assert explained.sentence.endswith(": primary, v0.1, and canary, v0.2")
    for answer in (both, alone):
        assert differences(explained, state, answer) == ()
    wrong = replace(both, versions={"primary": "v0.1", "canary": "v0.3"})
    (difference,) = differences(explained, state, wrong)
    assert difference.startswith("versions: the rules say {'primary': 'v0.1', 'canary': 'v0.2'}")
    assert differences(explained, state, replace(alone, variant="primary")) != ()
