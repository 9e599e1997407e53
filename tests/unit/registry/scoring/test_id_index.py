"""Rows by id: the same as a dictionary of (type, id), for all ids that there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.ids import UserId
from registry.scoring import id_index as lookup
from registry.scoring.id_index import Rows

IDS = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**70]),
    st.text("ab5é\ud800", max_size=3),
)


@given(st.lists(IDS, unique_by=lambda drawn: (type(drawn), drawn)), st.lists(IDS))
def test_it_finds_what_a_dictionary_finds(ids: list[UserId], others: list[UserId]) -> None:
    rows = Rows(ids)
    expected = {(type(sought), sought): row for row, sought in enumerate(ids)}
    for sought in [*ids, *others]:
        assert rows.of(sought) == expected.get((type(sought), sought))
    assert rows.all_of(others) == list(map(rows.of, others))
    assert [(type(sought), sought) for sought in rows.ids()] == list(expected)


def test_only_the_exact_type_is_found() -> None:
    rows = Rows([1, 0, "2"])
    assert [rows.of(unknown) for unknown in (True, 1.0, False, 2, None, b"2", [1])] == [None] * 7


def test_no_ids_have_no_rows() -> None:
    assert [Rows([]).of(unknown) for unknown in (0, "", 2**70)] == [None] * 3


def test_texts_of_the_same_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_hash", len)
    rows = Rows(["ab", "b", "ba", "a"])
    assert [rows.of(sought) for sought in ("a", "b", "ab", "ba", "bb", "c", "")] == [
        *(3, 1, 0, 2),
        *(None, None, None),
    ]


@pytest.mark.parametrize("ids", [[5, 3, 2**70, "3", -(2**63)], [2**63 - 1, 4], ["3"], []])
@pytest.mark.parametrize("more", [[], [2**70], ["3", None], [True, 3.0]])
def test_many_are_found_as_each_of_them_alone(ids: list[UserId], more: list[object]) -> None:
    rows = Rows(ids)
    known = [*range(-9, 9), -(2**63), 2**63 - 1, *more]
    assert len(known) >= lookup.MANY
    assert rows.all_of(known) == list(map(rows.of, known))
