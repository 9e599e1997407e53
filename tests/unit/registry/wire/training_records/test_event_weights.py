"""The grammar of event weights, and what becomes of `auto`."""

from __future__ import annotations

import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.wire.training_records.auto_transform import LINEAR_UP_TO, settled
from registry.wire.training_records.event_weights import (
    DEFAULT,
    LARGEST,
    SIDES,
    TRANSFORMS,
    EventWeight,
    Transform,
    kinds_weighed,
    parse_event_weights,
    spell_event_weights,
    undo_targets,
)


def test_each_kind_has_a_weight_a_transform_and_options() -> None:
    assert parse_event_weights("watch=1, play=2:log,buy=3:bm25:k1=1.2:b=0.75:per=user,x.y-z=0") == {
        "watch": EventWeight(1.0),
        "play": EventWeight(2.0, "log"),
        "buy": EventWeight(3.0, "bm25", k1=1.2, b=0.75, per="user"),
        "x.y-z": EventWeight(0.0),
    }


def test_a_kind_may_take_another_back_and_is_spelled_as_it_was() -> None:
    spelled = "unlike=undo:like,like=1:log,withdraw=undo:rate,rate=1:floor=2,gone=undo:like"
    found = parse_event_weights(spelled)

    assert undo_targets(found) == {"unlike": "like", "withdraw": "rate", "gone": "like"}
    assert kinds_weighed(found) == ("like", "rate")
    assert spell_event_weights(settled(found, {})) == spelled


def test_the_default_gives_every_standard_kind_a_weight() -> None:
    assert {
        kind: (weight.weight, weight.transform, weight.floor)
        for kind, weight in parse_event_weights(DEFAULT).items()
    } == {
        "watch": (1.0, "auto", 0.0),
        "click": (0.5, "auto", 0.0),
        "rate": (1.0, "auto", 2.0),
    }


@each_cell(
    ("text", "complaint"),
    [
        ("", "must be KIND=WEIGHT"),
        ("watch", "must be KIND=WEIGHT"),
        ("a b=1", "must be KIND=WEIGHT"),
        (f"{'k' * 65}=1", "at most 64"),
        ("watch=1,", "must be KIND=WEIGHT"),
        ("watch=much", "weight 'much' must be a number from 0 to 1e+06"),
        ("watch=-1", "weight '-1' must be"),
        ("watch=nan", "weight 'nan' must be"),
        ("watch=inf", "weight 'inf' must be"),
        ("watch=1,watch=2", "'watch' is given twice"),
        ("watch=1:log:sqrt", "transform is given twice"),
        ("watch=1:cube", "'cube' is not a transform; use one of auto, linear"),
        ("watch=1:power=2", "'power' is not an option; use one of floor, k1, b, per"),
        ("watch=1:log:k1=3", "k1 are options of the transform bm25 only"),
        ("watch=1:bm25:k1=0", "k1 '0' must be a number above 0"),
        ("watch=1:bm25:b=1.1", "b '1.1' must be"),
        ("watch=1:bm25:per=shop", "per='shop' must be one of item, user"),
        ("unlike=undo", "must be KIND=undo:TARGET"),
        ("like=1,unlike=undo:like:floor=1", "must be KIND=undo:TARGET"),
        ("like=1,unlike=undo:lik", "'lik' has no weight here; an undo takes back events of a kind"),
        ("like=1,unlike=undo:unlike", "'unlike' has no weight here"),
        ("like=1,back=undo:unlike,unlike=undo:like", "'unlike' has no weight here"),
        ("like=1,unlike=undo:forget", "'forget' has no weight here"),
        ("like=0,unlike=undo:like", "every weight is 0"),
        ("forget=1", "cannot have a weight"),
        ("watch=0,click=0", "every weight is 0"),
        (",".join(f"k{number}=1" for number in range(65)), "65 kinds of events; at most 64"),
    ],
)
def test_what_is_wrong_is_refused_with_what_is_allowed(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"^") as refused:
        parse_event_weights(text)

    assert complaint in str(refused.value)


numbers = st.floats(0.001, LARGEST)
weights = st.builds(
    lambda transform, options, **given: EventWeight(
        transform=transform, **given, **(options if transform == "bm25" else {})
    ),
    st.sampled_from(TRANSFORMS),
    st.fixed_dictionaries({"k1": numbers, "b": st.floats(0, 1), "per": st.sampled_from(SIDES)}),
    weight=numbers,
    floor=st.floats(-LARGEST, LARGEST),
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,9}", fullmatch=True).filter(lambda k: k != "forget"),
        weights,
        min_size=1,
        max_size=4,
    )
)
def test_what_is_spelled_is_read_back_to_the_last_bit(given: dict[str, EventWeight]) -> None:
    assert parse_event_weights(spell_event_weights(given)) == given


@each_cell(
    ("largest", "transform"),
    [({}, "linear"), ({"play": LINEAR_UP_TO}, "linear"), ({"play": LINEAR_UP_TO + 0.5}, "log")],
)
def test_auto_is_linear_for_a_small_range_and_log_beyond(
    largest: dict[str, float], transform: Transform
) -> None:
    (found,) = settled(parse_event_weights("play=3:auto:floor=1"), largest).values()

    assert found == EventWeight(3.0, transform, floor=1.0)


def test_a_transform_that_was_asked_for_stays_whatever_the_values() -> None:
    weights = parse_event_weights("play=1,buy=1:sqrt")

    assert settled(weights, {"play": 1e6, "buy": 1.0}) == weights
