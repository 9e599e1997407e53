from itertools import accumulate

from harness.cells import each_cell
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.outcomes.attribution import Action, Attribution, Exposure
from registry.outcomes.merged_streams import MergedStreams

WINDOW = 10


def an_answer(user_id, request_id, drafted, kind):
    items, teams = tuple(item for item, _ in drafted), tuple(team for _, team in drafted)
    is_mixed = kind == "mixed"
    counts = bool(teams) if is_mixed else kind == "one arm"
    return Exposure(user_id, request_id, items, teams if is_mixed else (), counts)


answer_records = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.builds(
            an_answer,
            st.sampled_from([1, 2, "1"]),
            st.sampled_from("abcdefgh"),
            st.lists(
                st.tuples(st.integers(0, 3), st.sampled_from(["primary", "canary", None])),
                max_size=3,
                unique_by=lambda item: item[0],
            ),
            st.sampled_from(["one arm", "mixed", "nobody's"]),
        ),
    ),
    max_size=14,
)
event_records = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.builds(
            Action,
            user_id=st.sampled_from([1, 2, "1"]),
            item_id=st.integers(0, 3),
            event=st.sampled_from(["watch", "click"]),
            value=st.sampled_from([1.0, 0.5]),
            request_id=st.sampled_from([None, None, *"abcdefgh"]),
        ),
    ),
    max_size=14,
)


def in_log_time(records):
    times = accumulate((at for at, _ in records), max)
    return [(at, record) for at, (_, record) in zip(times, records, strict=True)]


def variant_of(answer, item_id):
    """Who gets the credit for an item of an answer."""
    if answer.teams:
        return answer.teams[answer.items.index(item_id)]
    return "the user's own" if answer.counts else None


def slow_twin(answers, events, until):
    """Return what the rules say of two whole logs, read up to `until`, by looking at everything."""
    sequence = sorted(
        [(at, 0, answer) for at, answer in in_log_time(answers)]
        + [(at, 1, event) for at, event in in_log_time(events)],
        key=lambda record: record[:2],
    )
    seen, outcomes = [], {}
    for at, is_event, record in sequence:
        live = [old for old in seen if old[0] + WINDOW > at and old[1].user_id == record.user_id]
        if not is_event:
            is_known = (
                any(old.counts and old.user_id == record.user_id for _, old in seen)
                or record.counts
            )
            if is_known and record.request_id not in {answer.request_id for _, answer in live}:
                seen.append((at, record))
            continue
        fitting = [
            (exposed_at, answer)
            for exposed_at, answer in live
            if record.item_id in answer.items and record.request_id in (None, answer.request_id)
        ]
        if fitting and variant_of(fitting[-1][1], record.item_id) is not None:
            exposed_at, answer = fitting[-1]
            name = (answer.user_id, answer.request_id, exposed_at, record.item_id, record.event)
            sign = {"primary": -1, "canary": 1}.get(variant_of(answer, record.item_id), 0)
            outcomes.setdefault(name, (record.value, at, sign))
    closed = {}
    for user in {answer.user_id for _, answer in seen}:
        own = [at for at, answer in seen if answer.user_id == user and answer.counts]
        end = own[0] + WINDOW
        if end <= until:
            within = [
                (value, sign)
                for (who, *_), (value, at, sign) in outcomes.items()
                if who == user and at < end
            ]
            x, lead = sum(value for value, _ in within), sum(value * sign for value, sign in within)
            closed[user] = (x, sum(at < end for at in own), own[0], lead)
    return outcomes, closed


@settings(max_examples=30, deadline=None)
@given(answer_records, event_records, st.randoms(use_true_random=False))
def test_in_whatever_turns_the_logs_are_read_the_join_is_what_the_rules_say(answers, events, rng):
    merged, join = MergedStreams(), Attribution(WINDOW)
    left, right = list(answers), list(events)
    while left or right:
        if left and (not right or rng.random() < 0.5):
            merged.take_answers([left.pop(0)])
        else:
            merged.take_event(*right.pop(0))
        if rng.random() < 0.5:
            feed(merged, join)
    merged.pass_answers(100)
    merged.pass_events(100)
    feed(merged, join)
    found = join.collect()
    outcomes, closed = slow_twin(answers, events, 100)
    assert {
        (*credit.answer[:2], credit.answer.at, credit.action.item_id, credit.action.event): (
            credit.action.value,
            credit.at,
        )
        for credit in found.credits
    } == {name: found[:2] for name, found in outcomes.items()}
    assert len(found.credits) == len(outcomes)
    assert {
        closing.user_id: (closing.outcomes, closing.exposures, closing.since, closing.lead)
        for closing in found.closings
    } == closed
    assert len(found.closings) == len(closed)
    assert merged.waiting == 0


def feed(merged, join):
    for at, answer, event in merged:
        if answer is not None:
            join.expose(at, answer)
        else:
            join.act(at, event)
    join.pass_time(merged.clock)


def exposure(request_id="r", items=(7, 8), user=1):
    return Exposure(user, request_id, items)


def mixed(request_id="r", teams=("canary", "primary"), user=1):
    return Exposure(user, request_id, (7, 8, 9)[: len(teams)], teams)


def action(item=7, event="click", request_id=None, user=1):
    return Action(user, item, event, 1.0, request_id)


def credited(join):
    return [credit.answer.request_id for credit in join.collect().credits]


def test_the_latest_answer_that_showed_the_item_gets_the_credit():
    join = Attribution(WINDOW)
    join.expose(0, exposure("first"))
    join.expose(1, exposure("second"))
    join.expose(2, exposure("other", items=(9,)))
    join.act(3, action())
    assert credited(join) == ["second"]


def test_an_interaction_that_names_a_request_credits_that_one_or_none():
    join = Attribution(WINDOW)
    join.expose(0, exposure("first"))
    join.expose(1, exposure("second"))
    join.act(2, action(request_id="first"))
    join.act(3, action(item=8, request_id="unknown"))
    join.act(4, action(item=9, request_id="second"))
    assert credited(join) == ["first"]


@each_cell(("at", "counts"), [(0, True), (WINDOW - 1, True), (WINDOW, False)])
def test_the_window_has_its_first_moment_and_not_its_last(at, counts):
    join = Attribution(WINDOW)
    join.expose(0, exposure())
    join.act(at, action())
    join.pass_time(WINDOW)
    (closing,) = join.collect().closings
    assert closing.outcomes == float(counts)


def test_a_user_closes_once_however_many_answers_follow():
    join = Attribution(WINDOW)
    for at in range(0, 5 * WINDOW, 3):
        join.expose(at, exposure(f"r{at}"))
    (closing,) = join.collect().closings
    assert (closing.exposures, closing.since) == (4, 0)


def test_a_user_who_is_in_the_evidence_already_does_not_close_again():
    join = Attribution(WINDOW)
    join.expose(0, exposure())
    join.enter(1)
    join.expose(1, exposure("again"))
    join.pass_time(5 * WINDOW)
    assert join.collect().closings == []


def test_duplicates_of_answers_and_interactions_count_once():
    join = Attribution(WINDOW)
    for at in range(3):
        join.expose(at, exposure())
        join.act(at, action())
    join.pass_time(WINDOW)
    (closing,) = join.collect().closings
    assert (closing.outcomes, closing.exposures) == (1.0, 1)


def test_a_window_stays_open_until_the_interactions_are_read_past_its_end():
    merged, join = MergedStreams(), Attribution(WINDOW)
    merged.take_answers([(0, exposure())])
    merged.pass_answers(500)
    feed(merged, join)
    assert join.collect().closings == []
    merged.take_event(9, action())
    feed(merged, join)
    assert join.collect().closings == []
    merged.pass_events(WINDOW)
    feed(merged, join)
    (closing,) = join.collect().closings
    assert closing.outcomes == 1.0


def test_users_beyond_the_bound_are_left_out_and_counted():
    join = Attribution(WINDOW, most_users=1)
    join.expose(0, exposure(user=1))
    join.expose(0, exposure(user=2))
    join.pass_time(WINDOW)
    assert [closing.user_id for closing in join.collect().closings] == [1]
    assert join.left_out == 1


def test_memory_of_answers_ends_with_their_window():
    join = Attribution(WINDOW)
    for at in range(1000):
        join.expose(at, exposure(f"r{at}"))
    assert len(join._answers) == WINDOW


def test_of_a_mixed_answer_the_version_that_contributed_the_item_gets_the_credit():
    join = Attribution(WINDOW)
    join.expose(0, mixed(teams=("canary", "primary", None)))
    for item in (7, 8, 9):
        join.act(1, action(item))
    join.act(2, action(7, event="watch"))
    join.pass_time(WINDOW)
    found = join.collect()

    assert [(credit.action.item_id, credit.answer.team) for credit in found.credits] == [
        (7, "canary"), (8, "primary"), (7, "canary"),
    ]  # fmt: skip
    (closing,) = found.closings
    assert (closing.outcomes, closing.lead) == (3.0, 1.0)


def test_an_item_that_a_later_answer_of_one_version_showed_again_is_nobodys():
    join = Attribution(WINDOW)
    join.expose(0, mixed("mixed"))
    join.expose(1, Exposure(1, "alone", (7,), counts=False))
    join.act(2, action(7))
    join.act(2, action(8))
    join.act(2, action(7, event="watch", request_id="mixed"))

    found = join.collect().credits
    assert [(credit.action.item_id, credit.answer.request_id) for credit in found] == [
        (8, "mixed"), (7, "mixed"),
    ]  # fmt: skip


def test_who_gets_no_mixed_answer_has_no_window():
    join = Attribution(WINDOW)
    join.expose(0, Exposure(1, "alone", (7,), counts=False))
    join.act(1, action(7))
    join.pass_time(WINDOW + 1)

    assert join.collect() == ([], [])
