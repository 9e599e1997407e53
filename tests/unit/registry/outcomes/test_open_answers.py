"""Packed answers: found again by whatever id, and forgotten in their order."""

from __future__ import annotations

from struct import pack, unpack

import pytest
from harness.cells import each_cell

from registry.ids import ItemId
from registry.outcomes.open_answers import MANY, Asker, OpenAnswer, OpenAnswers
from registry.wire.field_types import Variant


def added(
    answers: OpenAnswers[Asker], asker: Asker, name: str, items: tuple[ItemId, ...], at: int
) -> bool:
    return answers.add(asker, name, items, (), True, at)


@pytest.mark.parametrize(
    "items",
    [(7, 8), (2**31, -5), (2**63, 1), ("7", "ü" * 200), (7, "7"), (0,), tuple(range(1_000))],
)
def test_an_item_of_any_id_is_found_at_its_position_and_no_other(items: tuple[ItemId, ...]) -> None:
    answers, anna = OpenAnswers[Asker](), Asker("anna")
    assert added(answers, anna, "r-ü", items, 5)
    for position, item in enumerate(items):
        found = answers.latest_with(anna, item, None)
        assert found == OpenAnswer("anna", "r-ü", 5, position, True)
    for other in (99_999, "99999", -1, 2**64):
        assert answers.latest_with(anna, other, None) is None
    assert answers.latest_with(Asker("bert"), items[0], None) is None


UUID = "123e4567-e89b-12d3-a456-42661417400f"


@each_cell(
    "name",
    [
        "", "r", "ü" * 200, UUID, UUID.replace("-", ""), UUID.upper(), "g" * 32, "1 " * 16,
        "-" * 36, UUID[:-2] + "-f", UUID.replace("-", "") + "----", "１" * 32,
    ],
)  # fmt: skip
def test_a_request_id_of_any_spelling_is_the_same_again_and_no_other(name: str) -> None:
    answers, anna = OpenAnswers[Asker](), Asker("anna")
    others = {UUID, UUID.replace("-", ""), UUID.upper(), "other"} - {name}
    for other in sorted(others):
        assert added(answers, anna, other, (8,), 4)
    assert added(answers, anna, name, (7,), 5)
    assert not added(answers, anna, name, (7,), 6)
    found = answers.latest_with(anna, 7, name)
    assert found is not None
    assert (found.request_id, found.at) == (name, 5)
    assert all(answers.latest_with(anna, 7, other) is None for other in others)


LONG = "x" * 20_000  # an interaction may name any string


def test_the_latest_answer_is_found_or_the_one_that_is_named() -> None:
    answers, anna = OpenAnswers[Asker](), Asker("anna")
    for at, name in enumerate(("first", "second", "third")):
        assert added(answers, anna, name, (7, at + 10), at)
    assert not added(answers, anna, "second", (7,), 9)
    for named, found in (
        (None, "third"),
        ("first", "first"),
        ("firs", None),
        (3, None),
        (LONG, None),
    ):
        answer = answers.latest_with(anna, 7, named)
        assert (answer.request_id if answer else None) == found
    assert answers.latest_with(anna, 10, "second") is None


def test_answers_are_forgotten_the_oldest_first() -> None:
    answers, anna = OpenAnswers[Asker](), Asker(1)
    added(answers, anna, "a", (7,), 3)
    teams: tuple[Variant | None, ...] = ("primary", None)
    answers.add(anna, "b", ("x", 8), teams, True, 4)
    assert (len(answers), answers.oldest_at, answers.drop_oldest()) == (2, 3, (anna, 0))
    assert (len(answers), answers.oldest_at) == (1, 4)
    assert answers.latest_with(anna, 7, None) is None
    for item, position, team in (("x", 0, "primary"), (8, 1, None)):
        found = answers.latest_with(anna, item, None)
        assert found is not None
        assert found[:-1] == (1, "b", 4, position, True, True, team)
    assert answers.drop_oldest()[0] is anna
    assert (len(answers), answers.oldest_at) == (0, None)
    assert answers.latest_with(anna, 8, None) is None


def test_answers_beyond_a_chunk_are_found_and_forgotten_as_well() -> None:
    answers, many = OpenAnswers[Asker](), tuple(range(2_000))
    askers = [Asker(user) for user in range(7)]
    for at in range(250):  # some seven chunks
        assert added(answers, askers[at % 7], f"r{at}", many, at)
    for at in range(250):
        asker = askers[at % 7]
        assert answers.oldest_at == at
        named = answers.latest_with(asker, 1_999, f"r{at}")
        assert named is not None
        assert (named.at, named.position) == (at, 1_999)
        assert answers.drop_oldest() == (asker, named.place)
        assert answers.latest_with(asker, 1_999, f"r{at}") is None
    assert len(answers) == 0
    wide = tuple(range(2**40, 2**40 + 40_000))  # larger than a chunk by itself
    for at in (510, 520):
        assert added(answers, askers[1], f"wide{at}", wide, at)
        assert answers.latest_with(askers[1], 2**40 + 39_999, None) is not None
        assert (answers.oldest_at, answers.drop_oldest()[0]) == (at, askers[1])
    assert added(answers, askers[1], "again", (7,), 600)
    assert answers.oldest_at == 600


def test_of_many_answers_a_second_one_of_a_request_is_refused_till_the_first_is_gone() -> None:
    answers, count = OpenAnswers[Asker](), MANY + 50
    anna, bert = Asker(1), Asker(2)
    for at in range(count):
        assert added(answers, anna, f"r{at}", (7, at + 10), at)
        assert added(answers, bert, f"r{at}", (8,), at)
    assert not any(added(answers, anna, f"r{at}", (7,), count) for at in range(count))
    for at in range(count):
        name = f"r{at}"
        assert answers.drop_oldest()[0] is anna
        assert not added(answers, bert, name, (8,), count)
        assert answers.drop_oldest()[0] is bert
        assert answers.latest_with(anna, 7, name) is None
        assert added(answers, anna, name, (9,), count)
        assert not added(answers, anna, name, (9,), count)
    assert len(answers) == count
    for _ in range(count):
        answers.drop_oldest()
    assert (len(answers), anna.names, bert.names) == (0, None, None)


def test_an_item_is_not_found_across_the_bytes_of_two_others() -> None:
    answers, anna, across = OpenAnswers[Asker](), Asker(1), 0x01000000
    added(answers, anna, "a", (0x0000_00AA, 0x7F00_0001, across), 5)
    (between,) = unpack("<i", pack("<ii", 0x0000_00AA, 0x7F00_0001)[1:5])
    found = answers.latest_with(anna, across, None)
    assert found is not None
    assert (between, found.position) == (across, 2)
