from __future__ import annotations

from harness.cells import each_cell

from registry.fold_in.answer_source import UserFacts, vector_source

LEAST = 3


@each_cell("forgotten", [False, True])
@each_cell("fresh", [False, True])
@each_cell("compared_fresh", [False, True])
@each_cell("weighted", [0, 1, LEAST - 1, LEAST, 99])
@each_cell("learned", [False, True])
@each_cell("mergeable", [False, True])
def test_every_cell_of_the_table(
    learned: bool,
    mergeable: bool,
    forgotten: bool,
    fresh: bool,
    compared_fresh: bool,
    weighted: int,
) -> None:
    facts = UserFacts(learned, mergeable, forgotten, fresh, compared_fresh, weighted)
    known = learned and not forgotten
    expected = {
        (True, False): "model",
        (True, True): "recomputed" if weighted else "popular",
        (False, True): "fold_in" if weighted >= LEAST else "popular",
        (False, False): "popular",
    }[known, mergeable]
    if known and not fresh and not compared_fresh:
        expected = "model"

    assert vector_source(facts, LEAST) == expected


@each_cell(
    ("facts", "source"),
    [
        (UserFacts(learned=True, weighted=50), "model"),
        (UserFacts(learned=True, fresh=True, weighted=1), "recomputed"),
        (UserFacts(learned=True, compared_fresh=True, weighted=50), "recomputed"),
        (UserFacts(learned=True, fresh=True, mergeable=False, weighted=50), "model"),
        (UserFacts(learned=True, forgotten=True, weighted=0), "popular"),
        (UserFacts(learned=True, forgotten=True, fresh=True, weighted=3), "fold_in"),
        (UserFacts(learned=False, fresh=True, weighted=2), "popular"),
        (UserFacts(learned=False, fresh=True, weighted=3), "fold_in"),
        (UserFacts(learned=False, fresh=True, weighted=3, mergeable=False), "popular"),
    ],
)
def test_what_ranks_whom_by_hand(facts: UserFacts, source: str) -> None:
    assert vector_source(facts, LEAST) == source
