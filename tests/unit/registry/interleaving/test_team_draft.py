from itertools import islice, repeat

from hypothesis import given
from hypothesis import strategies as st

from registry.interleaving.team_draft import coins_of, draft

rosters = st.lists(st.integers(0, 12), unique=True, max_size=10)


def teams(picks):
    return {
        team: [pick.item_id for pick in picks if pick.team == team]
        for team in ("primary", "canary", None)
    }


@given(rosters, rosters, st.integers(1, 12), st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_draft_is_fair_and_whole_whatever_the_lists_and_coins(primary, canary, k, coins):
    picks = draft(primary, canary, k, iter(coins))
    by_team = teams(picks)
    items = [pick.item_id for pick in picks]

    assert len(items) == len(set(items)) == min(k, len({*primary, *canary}))
    assert abs(len(by_team["primary"]) - len(by_team["canary"])) <= 1
    for team, roster in (("primary", primary), ("canary", canary)):
        assert by_team[team] == [item for item in roster if item in by_team[team]]
        for place, pick in enumerate(picks):
            if pick.team == team:  # the best of its list that was left
                assert pick.item_id == next(item for item in roster if item not in items[:place])
    of_nobody = [pick.team is None for pick in picks]
    assert of_nobody == sorted(of_nobody), "what fills the answer up comes last"


@given(rosters, rosters, st.lists(st.booleans(), min_size=12, max_size=12))
def test_with_versions_and_coins_exchanged_the_same_list_has_its_teams_exchanged(
    primary, canary, coins
):
    drafted = teams(draft(primary, canary, 12, iter(coins)))
    exchanged = teams(draft(canary, primary, 12, iter(not coin for coin in coins)))

    assert (drafted["primary"], drafted["canary"]) == (exchanged["canary"], exchanged["primary"])


def test_lists_that_are_long_enough_leave_no_item_without_a_team():
    picks = draft(range(10), range(9, -1, -1), 10, coins_of("r-1", ""))

    assert [pick.team for pick in picks].count(None) == 0


def test_of_equal_lists_each_half_goes_to_each_team_and_the_list_stays():
    picks = draft("abcd", "abcd", 4, iter([True, False]))

    assert [(pick.item_id, pick.team) for pick in picks] == [
        ("a", "canary"), ("b", "primary"), ("c", "primary"), ("d", "canary"),
    ]  # fmt: skip


def test_one_empty_list_makes_an_answer_that_counts_for_nobody():
    assert [pick.team for pick in draft([1, 2], [], 5, repeat(True))] == [None, None]
    assert draft([], [], 5, repeat(True)) == []


def test_the_coins_of_a_request_are_pinned_for_ever():
    first = "".join("HT"[coin] for coin in islice(coins_of("r-1", ""), 70))

    assert first == "HTHTHTHHTHHTHTHTTTHHHTTHHTHTTHTTTTTTHTTHHTHTHHHHTHHHHTHHTTTTTHHTHHTTHT"


def test_coins_are_fair_and_differ_by_request_and_by_salt():
    drawn = [tuple(islice(coins_of(f"r-{number}", "s"), 5)) for number in range(4000)]

    assert 1900 < sum(coins[0] for coins in drawn) < 2100
    assert len(set(drawn)) == 32
    assert list(islice(coins_of("r-1", "a"), 64)) != list(islice(coins_of("r-1", "b"), 64))
