"""A table of cells is one test: all of them run, and each one that fails is named."""

from __future__ import annotations

import pytest
from harness.cells import each_cell


def test_every_cell_runs_and_those_that_fail_are_named_with_their_errors() -> None:
    ran = []

    @each_cell(("number", "word"), [(1, "a"), pytest.param(2, "b", id="second"), (3, "c")])
    @each_cell("more", [True, False])
    def table(number: int, word: str, *, more: bool) -> None:
        ran.append((number, word, more))
        assert number != 2 or more
        with pytest.raises(ValueError, match=word):
            raise ValueError("ab")

    with pytest.raises(BaseExceptionGroup, match=r"3 of 6 cells failed: .*second") as failed:
        table()

    assert len(ran) == 6
    assert [error.__notes__[-1] for error in failed.value.exceptions] == [
        "cell True-3, 'c'",
        "cell False-second",
        "cell False-3, 'c'",
    ]


def test_a_table_that_passes_says_nothing_and_keeps_the_name_of_its_test() -> None:
    @each_cell("word", ["a"], ids=["first"])
    def test_words(word: str) -> None:
        assert word == "a"

    test_words(**{})

    assert (test_words.__name__, vars(test_words)["cells"]) == ("test_words", 1)
