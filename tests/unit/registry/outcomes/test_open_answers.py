"""Packed answers: found again by whatever id, and forgotten in their order."""

from __future__ import annotations

from struct import pack, unpack
from typing import Any

import pytest

from registry.ids import ItemId
from registry.outcomes.open_answers import MANY, OpenAnswer, OpenAnswers

ARM: Any = ("canary", ())


@pytest.mark.parametrize(
    "items",
    [(7, 8), (2**31, -5), (2**63, 1), ("7", "ü" * 200), (7, "7"), (0,), tuple(range(1_000))],
)
def test_an_item_of_any_id_is_found_at_its_position_and_no_other(items: tuple[ItemId, ...]) -> None:
    answers = OpenAnswers()
    assert answers.add("anna", "r-ü", items, *ARM, 5)
    for position, item in enumerate(items):
        found = answers.latest_with("anna", item, None)
        assert found == OpenAnswer("anna", "r-ü", 5, position, "canary", False)
    for other in (99_999, "99999", -1, 2**64):
        assert answers.latest_with("anna", other, None) is None
    assert answers.latest_with("bert", items[0], None) is None


def test_the_latest_answer_is_found_or_the_one_that_is_named() -> None:
    answers = OpenAnswers()
    for at, name in enumerate(("first", "second", "third")):
        assert answers.add(1, name, (7, at + 10), *ARM, at)
    assert not answers.add(1, "second", (7,), *ARM, 9)
    for named, found in ((None, "third"), ("first", "first"), ("firs", None), (3, None)):
        answer = answers.latest_with(1, 7, named)
        assert (answer.request_id if answer else None) == found
    assert answers.latest_with(1, 10, "second") is None


def test_answers_are_forgotten_the_oldest_first() -> None:
    answers = OpenAnswers()
    answers.add(1, "a", (7,), *ARM, 3)
    answers.add(1, "b", ("x", 8), None, ("primary", None), 4)
    assert (len(answers), answers.oldest_at(), answers.drop_oldest(1)) == (2, 3, "a")
    assert (len(answers), answers.oldest_at()) == (1, 4)
    assert answers.latest_with(1, 7, None) is None
    assert answers.latest_with(1, "x", None) == OpenAnswer(1, "b", 4, 0, "primary", True)
    assert answers.latest_with(1, 8, None) == OpenAnswer(1, "b", 4, 1, None, True)
    assert answers.drop_oldest(1) == "b"
    assert len(answers) == 0
    assert answers.latest_with(1, 8, None) is None


def test_answers_beyond_a_chunk_are_found_and_forgotten_as_well() -> None:
    answers, many = OpenAnswers(), tuple(range(2_000))
    for at in range(250):  # some seven chunks
        assert answers.add(at % 7, f"r{at}", many, *ARM, at)
    for at in range(250):
        assert answers.oldest_at() == at
        named = answers.latest_with(at % 7, 1_999, f"r{at}")
        assert named is not None
        assert (named.at, named.position) == (at, 1_999)
        assert answers.drop_oldest(at % 7) == f"r{at}"
        assert answers.latest_with(at % 7, 1_999, f"r{at}") is None
    assert len(answers) == 0
    wide = tuple(range(2**40, 2**40 + 40_000))  # larger than a chunk by itself
    for at in (510, 520):
        assert answers.add(1, f"wide{at}", wide, *ARM, at)
        assert answers.latest_with(1, 2**40 + 39_999, None) is not None
        assert (answers.oldest_at(), answers.drop_oldest(1)) == (at, f"wide{at}")
    assert answers.add(1, "again", (7,), *ARM, 600)
    assert answers.oldest_at() == 600


def test_of_many_answers_a_second_one_of_a_request_is_refused_till_the_first_is_gone() -> None:
    answers, count = OpenAnswers(), MANY + 50
    for at in range(count):
        assert answers.add(1, f"r{at}", (7, at + 10), *ARM, at)
        assert answers.add(2, f"r{at}", (8,), *ARM, at)
    assert not any(answers.add(1, f"r{at}", (7,), *ARM, count) for at in range(count))
    for _ in range(count):
        name = answers.drop_oldest(1)
        assert not answers.add(2, name, (8,), *ARM, count)
        assert answers.drop_oldest(2) == name
        assert answers.latest_with(1, 7, name) is None
        assert answers.add(1, name, (9,), *ARM, count)
        assert not answers.add(1, name, (9,), *ARM, count)
    assert len(answers) == count
    for _ in range(count):
        answers.drop_oldest(1)
    assert (len(answers), answers._names_by_user) == (0, {})


def test_an_item_is_not_found_across_the_bytes_of_two_others() -> None:
    answers, across = OpenAnswers(), 0x01000000
    answers.add(1, "a", (0x0000_00AA, 0x7F00_0001, across), *ARM, 5)
    (between,) = unpack("<i", pack("<ii", 0x0000_00AA, 0x7F00_0001)[1:5])
    found = answers.latest_with(1, across, None)
    assert found is not None
    assert (between, found.position) == (across, 2)
