"""Ids from sources without types, and version names."""

from __future__ import annotations

import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ConfigurationError
from registry.ids import (
    MOST_INTEGER,
    VersionName,
    is_version_name,
    is_whole_float,
    parse_id,
    twin_of,
)

INTEGERS = st.integers(-(2**63), MOST_INTEGER)


@given(INTEGERS)
def test_an_integer_of_64_bits_is_read_as_json_has_it(number: int) -> None:
    assert parse_id(str(number)) == number
    assert parse_id(f" \t{number}.0\ufeff") == number


@given(st.integers(2**63) | st.integers(max_value=-(2**63) - 1))
def test_a_larger_integer_stays_a_text(number: int) -> None:
    assert parse_id(str(number)) == str(number)


def test_ids_that_would_not_survive_as_integers_stay_texts() -> None:
    texts = ["042", "00", "-0", "+5", "1e3", "٣", "42.5", "4 2", "007.0", "", "anna"]
    assert [parse_id(text) for text in texts] == texts


def test_blanks_around_a_text_are_trimmed_too() -> None:
    assert parse_id("\ufeff anna\u00a0\r\n") == "anna"


def test_only_a_whole_float_is_one() -> None:
    texts = ["42.0", "-5.00", "42", "42.5", "v1.0", "042.0", "9" * 30 + ".0"]
    assert [is_whole_float(text) for text in texts] == [True, True, *[False] * 5]


@given(INTEGERS)
def test_the_twin_of_a_twin_is_the_id_itself(number: int) -> None:
    text = twin_of(number)
    assert text == str(number)
    assert twin_of(text) == number


@given(st.integers(0, 999_999), st.integers(0, 999_999_999))
def test_a_name_reads_back_as_it_was_written(major: int, minor: int) -> None:
    name = VersionName(major, minor)
    assert VersionName.parse(str(name)) == name
    assert is_version_name(str(name))


def test_versions_are_ordered_by_number_not_by_text() -> None:
    names = ["v0.10", "v1.0", "v0.9", "v0.1"]
    assert sorted(names, key=VersionName.parse) == ["v0.1", "v0.9", "v0.10", "v1.0"]


def test_the_next_minor_stays_in_its_major() -> None:
    assert VersionName.parse("v2.9").next_minor() == VersionName(2, 10)


@each_cell(
    "name", ["", "v", "v1", "0.1", "V0.1", "v00.1", "v0.01", "v0.1.2", "v0.1 ", "v0.1\n", "v-1.0",
             "v٣.١", "../v0.1", "v0.1/..", "v0.9999999999"]
)  # fmt: skip
def test_any_other_form_is_refused_and_quoted(name: str) -> None:
    assert not is_version_name(name)
    with pytest.raises(ConfigurationError, match=r"vMAJOR\.MINOR") as refused:
        VersionName.parse(name)
    assert repr(name) in str(refused.value)
