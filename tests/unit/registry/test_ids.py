"""Version names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ConfigurationError
from registry.ids import VersionName, is_version_name


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


@pytest.mark.parametrize(
    "name", ["", "v", "v1", "0.1", "V0.1", "v00.1", "v0.01", "v0.1.2", "v0.1 ", "v0.1\n", "v-1.0",
             "v٣.١", "../v0.1", "v0.1/..", "v0.9999999999"]
)  # fmt: skip
def test_any_other_form_is_refused_and_quoted(name: str) -> None:
    assert not is_version_name(name)
    with pytest.raises(ConfigurationError, match=r"vMAJOR\.MINOR") as refused:
        VersionName.parse(name)
    assert repr(name) in str(refused.value)
