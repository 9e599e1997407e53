import json
import math
from dataclasses import replace

import pytest
from harness.cells import each_cell

from registry.outcomes.partition_join import Experiment, PartitionJoin, sums_by_arm
from registry.wire.codec import decode, encode
from registry.wire.outcome_kinds import OutcomeKind, parse_outcome_kinds, value_of
from registry.wire.outcome_records import ArmSums, PartitionSums
from registry.wire.training_records.interactions import Interaction

KINDS = parse_outcome_kinds("click=1,rate=2:floor=4")
EXPERIMENT = Experiment(
    "production",
    7,
    0.0,
    lambda user: "B" if user % 2 else "A",
    {"A": "v0.1", "B": "v0.2"},
    10_000,
    lambda event, value: value_of(KINDS, event, value),
)


def answer(user=1, request_id="r", epoch=7, status="ok", variant="B", environment="production"):
    return json.dumps(
        {
            "request_id": request_id,
            "user_id": user,
            "status": status,
            "variant": variant,
            "items": [{"item_id": 5, "score": 1.0}, {"item_id": 6, "score": 0.5}],
            "model_version": "v0.2",
            "provenance": {"environment": environment, "worker": "w", "rollout_epoch": epoch},
        }
    ).encode()


def event(user=1, item=6, kind="click", **more):
    return json.dumps({"user_id": user, "item_id": item, "event": kind} | more).encode()


def join_of(*answers, events=(), until=60_000):
    join = PartitionJoin(3, EXPERIMENT)
    for payload in answers:
        join.take_responses([(1_000, payload)])
    for payload in events:
        join.take_interaction(2_000, payload)
    join.pass_responses(until)
    join.pass_interactions(until)
    return join


def test_an_outcome_and_a_closed_user_are_found():
    outcome, closed = join_of(answer(), events=[event()]).collect()
    assert (outcome.user_id, outcome.variant, outcome.model_version, outcome.at) == (
        1, "B", "v0.2", 2.0,
    )  # fmt: skip
    credit = outcome.credit
    assert (credit.request_id, credit.item_id, credit.position, credit.event) == (
        "r",
        6,
        1,
        "click",
    )
    assert (credit.value, credit.delay_seconds) == (1.0, 1.0)
    assert (closed.at, closed.closed.since) == (11.0, 1.0)
    assert (closed.closed.outcomes, closed.closed.exposures) == (1.0, 1)


@each_cell(
    "other",
    [
        answer(epoch=6),
        answer(environment="staging"),
        answer(status="error"),
        answer(variant=None),
        b"{",
        None,
    ],
)
def test_what_is_no_exposure_of_this_experiment_counts_for_nobody(other):
    assert join_of(other, events=[event()]).collect() == []


@each_cell(
    ("did", "outcomes"),
    [
        (event(kind="watch"), 0.0),
        (event(kind="rate", value=3.5), 0.0),
        (event(kind="rate", value=4), 2.0),
        (event(item=99), 0.0),
        (event(user=2), 0.0),
        (event(request_id="other"), 0.0),
        (event(request_id="r"), 1.0),
        (event(request_id=5), 0.0),
        (event(request_id="x" * 20_000), 0.0),
        (b"nonsense", 0.0),
    ],
)
def test_only_what_the_setting_names_is_an_outcome(did, outcomes):
    *_, closed = join_of(answer(), events=[did]).collect()
    assert closed.closed.outcomes == outcomes


def test_only_what_is_on_the_outcome_topic_is_counted_and_once():
    join = join_of(answer(1), answer(2), events=[event(1)])
    sent = [encode(record) for record in join.collect()]
    assert join.sums == ()
    for payload in [*sent, *sent]:
        join.take_outcome(payload)
    sums = {part.variant: part.sums for part in join.sums}
    assert sums == {
        "A": ArmSums(1, 0, y=1.0, yy=1.0),
        "B": ArmSums(1, 1, 1.0, 1.0, 1.0, 1.0, 1.0),
    }
    assert join.latest_since == 1_000


def test_who_takes_over_sends_nothing_again_that_is_on_the_topic():
    sent = [encode(record) for record in join_of(answer(), events=[event()]).collect()]
    successor = PartitionJoin(3, EXPERIMENT)
    for payload in sent:
        successor.take_outcome(payload, earlier=True)
    successor.take_responses([(1_000, answer())])
    successor.take_responses([(1_500, answer(3, "s"))])
    successor.take_interaction(2_000, event())
    successor.pass_responses(60_000)
    successor.pass_interactions(60_000)
    assert [record.user_id for record in successor.collect()] == [3]


def test_who_takes_over_sends_what_the_predecessor_did_not():
    outcome, _ = join_of(answer(), events=[event()]).collect()
    successor = PartitionJoin(3, EXPERIMENT)
    successor.take_outcome(encode(outcome), earlier=True)
    successor.take_responses([(1_000, answer())])
    successor.take_interaction(2_000, event())
    successor.pass_responses(60_000)
    successor.pass_interactions(60_000)
    (closed,) = successor.collect()
    assert closed.closed.outcomes == 1.0


def test_of_two_workers_that_report_a_partition_the_one_that_knows_more_counts():
    reported = [
        PartitionSums(7, 0, "A", ArmSums(10, 4)),
        PartitionSums(7, 0, "A", ArmSums(12, 5)),
        PartitionSums(7, 1, "A", ArmSums(3, 1)),
        PartitionSums(7, 1, "B", ArmSums(2, 2)),
        PartitionSums(6, 0, "A", ArmSums(99, 9)),
    ]
    assert sums_by_arm(reported, 7) == {"A": ArmSums(15, 6), "B": ArmSums(2, 2)}


@each_cell(
    ("text", "named"),
    [
        ("", "must be KIND=VALUE"),
        ("click=0", "value 0, must be above 0"),
        ("click=many", "value 'many' must be a number"),
        ("click=1,click=2", "'click' is given twice"),
        ("rate=1:floor=x", "floor 'x' must be a number"),
        ("forget=1", "'forget' is no kind"),
        ("1=1", "'1' is no kind"),
        (",".join(f"k{n}=1" for n in range(65)), "65 kinds of events"),
    ],
)
def test_a_wrong_list_of_outcome_kinds_is_refused(text, named):
    with pytest.raises(ValueError, match=named):
        parse_outcome_kinds(text)


def test_a_kind_without_a_floor_counts_whatever_its_value():
    assert parse_outcome_kinds("watch=0.5") == {"watch": OutcomeKind(0.5, -math.inf)}
    assert value_of({"watch": OutcomeKind(0.5)}, "watch", -3.0) == 0.5


def test_a_request_id_of_another_type_makes_no_interaction_unusable():
    assert decode(Interaction, event(request_id=5)).item_id == 6


INTERLEAVED = replace(EXPERIMENT, arm_of=None, versions={"primary": "v0.1", "canary": "v0.2"})


def mixed_answer(user=1, request_id="r", teams=("canary", "primary")):
    items = [
        {"item_id": item, "score": 1.0, "variant": team}
        for item, team in zip((5, 6), teams, strict=True)
    ]
    document = json.loads(answer(user, request_id, variant=None))
    del document["model_version"]
    return json.dumps(document | {"items": items, "versions": dict(INTERLEAVED.versions)}).encode()


def test_interleaved_users_close_for_the_version_that_they_prefer_or_for_neither():
    join = PartitionJoin(3, INTERLEAVED)
    for user in (1, 2, 3, 4):
        join.take_responses([(1_000, mixed_answer(user))])
    alone = answer(5, variant="primary")  # of one version
    join.take_responses([(1_000, alone)])
    for user, item in ((1, 5), (2, 6), (3, 5), (3, 6), (5, 5)):
        join.take_interaction(2_000, event(user, item))
    join.pass_responses(60_000)
    join.pass_interactions(60_000)
    records = join.collect()

    assert [
        (found.user_id, found.variant, found.model_version) for found in records if found.credit
    ] == [
        (1, "canary", "v0.2"), (2, "primary", "v0.1"),
        (3, "canary", "v0.2"), (3, "primary", "v0.1"),
    ]  # fmt: skip
    closed = {found.user_id: found for found in records if found.closed}
    assert {user: (found.variant, found.model_version) for user, found in closed.items()} == {
        1: ("canary", "v0.2"), 2: ("primary", "v0.1"), 3: (None, None), 4: (None, None),
    }  # fmt: skip
    for found in records:
        join.take_outcome(encode(found))
    assert {part.variant: part.sums.users for part in join.sums} == {
        "canary": 1, "primary": 1, None: 2,
    }  # fmt: skip
    assert sums_by_arm((*join.sums, *join.sums), 7)[None].users == 2


def test_a_lead_that_only_rounding_makes_is_a_tie():
    kinds = parse_outcome_kinds("click=0.1,watch=0.2,save=0.3")
    join = PartitionJoin(
        3, replace(INTERLEAVED, value_of=lambda event, value: value_of(kinds, event, value))
    )
    join.take_responses([(1_000, mixed_answer())])
    for item, kind in ((5, "click"), (5, "watch"), (6, "save")):
        join.take_interaction(2_000, event(item=item, kind=kind))
    join.pass_responses(60_000)
    join.pass_interactions(60_000)

    assert [found.variant for found in join.collect() if found.closed] == [None]
