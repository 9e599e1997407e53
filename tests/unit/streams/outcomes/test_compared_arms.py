from registry.wire.outcome_records import ArmSums, PartitionSums
from streams.outcomes.compared_arms import compared, experiment_of, joined, preference_of
from tests.unit.registry.builders import a_canary_state, a_heartbeat, a_state

INTERLEAVED = a_canary_state(strategy="interleave")


def users(partition, variant, count, epoch=7):
    return PartitionSums(epoch, partition, variant, ArmSums(users=count))


def test_outcomes_are_joined_where_users_are_in_two_arms_or_lists_are_interleaved():
    for state, is_joined, is_compared in (
        (None, False, False),
        (a_state(), False, False),
        (a_canary_state(strategy="shadow"), False, False),
        (a_canary_state(canary_percentage=100.0), False, False),
        (a_canary_state(), True, True),
        (a_canary_state(strategy="ab_test"), True, True),
        (INTERLEAVED, True, False),
    ):
        assert (joined(state) is not None, compared(state) is not None) == (is_joined, is_compared)


def test_interleaved_users_are_in_no_arm():
    assert experiment_of(INTERLEAVED, 60, {}).arm_of is None
    assert experiment_of(INTERLEAVED, 60, {}).versions == {"primary": "v0.1", "canary": "v0.2"}
    assert experiment_of(a_canary_state(), 60, {}).arm_of(1) == "canary"


def test_a_preference_adds_up_the_users_of_all_partitions_and_each_partition_once():
    fleet = (
        a_heartbeat(
            "w1", outcomes=(users(0, "canary", 20), users(0, None, 3), users(1, "canary", 9))
        ),
        a_heartbeat("w2", outcomes=(users(1, "canary", 10), users(1, "primary", 4))),
        a_heartbeat("w3", outcomes=(users(2, "canary", 500, epoch=6),)),
    )
    found = preference_of(INTERLEAVED, fleet)

    assert (found.wins, found.losses, found.ties) == (30, 4, 3)
    assert (found.primary_version, found.canary_version, found.verdict) == (
        "v0.1", "v0.2", "better",
    )  # fmt: skip
    assert preference_of(a_canary_state(), fleet) is None
    assert preference_of(None, fleet) is None
