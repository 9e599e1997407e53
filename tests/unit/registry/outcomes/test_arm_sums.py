from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from registry.wire.outcome_records import ArmSums, sums_of_user

users = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 300)), max_size=40)


@given(users, st.randoms(use_true_random=False))
def test_sums_are_the_same_in_whatever_groups_users_come(people, rng):
    shuffled = rng.sample(people, len(people))
    cut = rng.randint(0, len(people))
    halves = [
        reduce(ArmSums.add, (sums_of_user(*user) for user in part), ArmSums())
        for part in (shuffled[:cut], shuffled[cut:])
    ]
    assert halves[0].add(halves[1]) == ArmSums(
        users=len(people),
        converted=sum(x > 0 for x, _ in people),
        x=sum(x for x, _ in people),
        y=sum(y for _, y in people),
        xx=sum(x * x for x, _ in people),
        xy=sum(x * y for x, y in people),
        yy=sum(y * y for _, y in people),
    )


def test_a_user_without_outcomes_is_not_converted():
    assert sums_of_user(0.0, 4) == ArmSums(users=1, y=4.0, yy=16.0)
