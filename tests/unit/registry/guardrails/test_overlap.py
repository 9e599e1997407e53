"""Comparison: two answers to one request, by numbers that were worked out by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.guardrails import overlap as comparison
from registry.guardrails.overlap import Compared, compare, rank_biased_overlap
from registry.ids import ItemId
from registry.wire.responses import Item

RANKINGS = st.lists(st.integers(0, 12), unique=True, max_size=10)
PERSISTENCES = st.floats(0.05, 0.95)


def items(*ids: ItemId, score: float = 1.0) -> list[Item]:
    return [Item(item_id, score) for item_id in ids]


def by_the_definition(first: Sequence[int], other: Sequence[int], p: float) -> float:
    """Equation 32 of Webber et al., term by term; neither ranking is empty."""
    shorter, longer = sorted((first, other), key=len)
    s, l = len(shorter), len(longer)  # noqa: E741 (the paper's names)

    def x(d: int) -> int:
        return len(set(longer[:d]) & set(shorter[:d]))

    seen = sum(x(d) / d * p**d for d in range(1, l + 1))
    supposed = sum(x(s) * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * (seen + supposed) + ((x(l) - x(s)) / l + x(s) / s) * p**l


def test_the_same_answer_agrees_wholly() -> None:
    answer = items("a", "b", "c")
    assert compare(answer, answer) == pytest.approx(Compared(1, 1, 0))


def test_answers_without_a_common_item_do_not_agree() -> None:
    assert compare(items("a", "b"), items("c", "d")) == Compared(0, 0, 0)


def test_two_empty_answers_agree() -> None:
    assert compare([], []) == Compared(1, 1, 0)


@each_cell(("primary", "canary"), [([], ["a"]), (["a"], [])])
def test_an_empty_answer_and_another_do_not_agree_and_shift_no_score(
    primary: list[str], canary: list[str]
) -> None:
    assert compare(items(*primary), items(*canary)) == Compared(0, 0, 0)


def test_the_overlap_is_the_share_of_the_primarys_items_in_any_order() -> None:
    assert compare(items("a", "b", "c", "d"), items("d", "b", "x", "y")).overlap == 0.5
    assert compare(items("a", "b"), items("x", "y", "b", "a")).overlap == 1.0


def test_the_score_shift_is_the_difference_of_the_mean_scores() -> None:
    primary = [Item("a", 3.0), Item("b", 1.0)]
    assert compare(primary, [Item("c", 0.5)]).score_shift == -1.5


def test_ids_of_another_json_type_are_other_items() -> None:
    assert compare(items(1, 2), items("1", "2")) == Compared(0, 0, 0)


@each_cell(
    ("first", "other", "p", "expected"),
    [
        ("ab", "ba", 0.5, 0.5),  # A = 0, 1:         0.5 · 0.5 + 0.25
        ("abc", "acb", 0.5, 0.875),  # A = 1, 1/2, 1:   0.5 · (1 + 1/4 + 1/4) + 1/8
        ("abc", "bca", 0.5, 0.375),  # A = 0, 1/2, 1:   0.5 · (1/4 + 1/4) + 1/8
        ("a", "abcd", 0.9, 1.0),  # the shorter ranking agrees as far as it goes
        ("a", "ba", 0.5, 0.25),  # A = 0, (1 + 0) / 2: 0.5 · 1/4 + 1/8
        ("ab", "axb", 0.5, 5 / 6),  # A = 1, 1/2, 5/6: 0.5 · (1 + 1/4 + 5/24) + 5/48
    ],
)
def test_rank_biased_overlap_is_as_worked_out_by_hand(
    first: str, other: str, p: float, expected: float
) -> None:
    assert rank_biased_overlap(first, other, p) == pytest.approx(expected)


def test_the_first_ten_items_carry_86_percent_of_the_weight() -> None:
    """Equation 21 of Webber et al.: the weight of the prefix of length d."""
    p, d = comparison.PERSISTENCE, 10
    terms = sum(p**i / i for i in range(1, d))
    endless = math.log(1 / (1 - p))
    assert 1 - p ** (d - 1) + (1 - p) / p * d * (endless - terms) == pytest.approx(0.86, abs=0.005)


@given(RANKINGS.filter(bool), RANKINGS.filter(bool), PERSISTENCES)
def test_it_is_equation_32(first: list[int], other: list[int], p: float) -> None:
    assert rank_biased_overlap(first, other, p) == pytest.approx(by_the_definition(first, other, p))


@given(RANKINGS, RANKINGS, PERSISTENCES)
def test_it_is_symmetric_and_between_0_and_1(first: list[int], other: list[int], p: float) -> None:
    agreement = rank_biased_overlap(first, other, p)
    assert agreement == rank_biased_overlap(other, first, p)
    assert 0 <= agreement <= 1 + 1e-12


def test_a_difference_weighs_the_more_the_higher_it_is() -> None:
    ranking = list(range(6))
    replaced = [[*ranking[:place], "other", *ranking[place + 1 :]] for place in range(6)]
    agreements = [rank_biased_overlap(ranking, other) for other in replaced]
    assert all(higher < lower for higher, lower in itertools.pairwise(agreements))
