"""The papers' protocols, against numbers worked out by hand."""

from __future__ import annotations

from math import log2
from pathlib import Path

import numpy as np
import pytest

from ops.bench.offline.paper_protocols import (
    fold_in,
    judge_leave_one_out,
    judge_lists,
    ones_at,
    read_leave_one_out,
    read_strong_generalisation,
)
from ops.bench.paper import measured
from registry.errors import ConfigurationError
from tests.unit.training.builders import parameters
from training.data.matrix import Factors
from training.fitting.als import fit_als

ITEMS = np.arange(12, dtype=np.float32)[:, None]
USERS = np.ones((2, 1), np.float32)


def test_leaving_one_out_counts_a_rank_of_three_and_a_miss() -> None:
    # user 0's item has the score 9 and two negatives stand before it; user 1's is the eleventh
    candidates = {0: (9, 10, 11, 1, 2), 1: (0, *range(1, 11))}

    found = judge_leave_one_out(Factors(USERS, ITEMS), candidates)

    assert found == pytest.approx({"HR@10": 0.5, "NDCG@10": (1 / log2(4)) / 2})


def test_a_tie_never_helps() -> None:
    found = judge_leave_one_out(Factors(USERS, np.ones((12, 1), np.float32)), {0: (0, 1, 2)})

    assert found == pytest.approx({"HR@10": 1.0, "NDCG@10": 1 / log2(4)})


def test_lists_are_judged_without_what_was_folded_in() -> None:
    # best first: 3, 2, 1, 0; item 3 was given, so the list is 2, 1, 0 and the hits stand at 1 and 3
    given, wanted = ones_at([(0, 3)], (1, 4)), ones_at([(0, 2), (0, 0)], (1, 4))

    found = judge_lists(np.array([[0.0, 1.0, 2.0, 3.0]]), given, wanted)

    assert found == pytest.approx(
        {
            "recall@20": 1.0,
            "recall@50": 1.0,
            "NDCG@100": (1 + 1 / log2(4)) / (1 + 1 / log2(3)),
        }
    )


def test_recall_is_over_no_more_than_fit_into_the_list() -> None:
    # 30 are wanted; the first 20 of the list hold 20 of them, the first 50 all
    wanted = ones_at([(0, item) for item in range(30)], (1, 60))

    found = judge_lists(-np.arange(60.0)[None], ones_at([], (1, 60)), wanted)

    assert found == pytest.approx({"recall@20": 1.0, "recall@50": 1.0, "NDCG@100": 1.0})


def test_who_wants_nothing_is_not_judged() -> None:
    nothing = ones_at([], (1, 4))

    assert judge_lists(np.ones((1, 4)), nothing, nothing) == {}


def test_a_fold_in_is_a_half_step_of_the_fit() -> None:
    # after many iterations a user's factors are what his row and the items' factors give
    board = ones_at([(user, item) for user in range(9) for item in range(7) if (user * item) % 3],
                    (9, 7))  # fmt: skip
    hyperparameters = parameters(factors=3, iterations=400, regularization=0.5, alpha=2.0)

    factors = fit_als(board, hyperparameters, 1, lambda _done: None)

    assert fold_in(factors.items, board, hyperparameters) == pytest.approx(factors.users, abs=1e-3)


def test_the_files_of_both_papers_are_read_and_judged(tmp_path: Path) -> None:
    pairs = [(user, item) for user in range(24) for item in range(user % 2, 24, 2)]
    (tmp_path / "tiny.train.rating").write_text(
        "".join(f"{user}\t{item}\t5\t0\n" for user, item in pairs if item != user)
    )
    (tmp_path / "tiny.test.negative").write_text(
        "".join(f"({user},{user})\t{1 - user % 2}\t{3 - user % 2}\n" for user in range(24))
    )
    (tmp_path / "train.csv").write_text(
        "uid,sid\n" + "".join(f"{user},{item}\n" for user, item in pairs)
    )
    (tmp_path / "test_tr.csv").write_text("uid,sid\n90,0\n90,2\n90,4\n")
    (tmp_path / "test_te.csv").write_text("uid,sid\n90,6\n90,8\n")

    left_out = read_leave_one_out(tmp_path, "tiny")
    assert left_out.train.shape == (24, 24)
    assert left_out.candidates[3] == (3, 0, 2)
    assert read_strong_generalisation(tmp_path).wanted.indices.tolist() == [6, 8]

    found = dict(measured(tmp_path, parameters(factors=2)))

    assert found["tiny"] == {"HR@10": 1.0, "NDCG@10": 1.0}
    assert found[tmp_path.name]["recall@20"] == 1.0


def test_a_user_of_the_test_without_anything_to_fold_in_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("uid,sid\n0,1\n")
    (tmp_path / "test_tr.csv").write_text("uid,sid\n90,1\n")
    (tmp_path / "test_te.csv").write_text("uid,sid\n90,0\n91,0\n")

    with pytest.raises(ConfigurationError, match=r"test_te.csv: 1 users are not in .*such as 91"):
        read_strong_generalisation(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("user,item\n1,2\n", r"train.csv: the header is \['user', 'item'\], expected uid,sid"),
        ("uid,sid\n1\n", r"train.csv:2: \['1'\], expected two fields or more"),
        ("uid,sid\n1,x\n", "train.csv:2: 'x', expected a row number from 0"),
    ],
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "train.csv").write_text(text)

    with pytest.raises(ConfigurationError, match=complaint):
        dict(measured(tmp_path, parameters()))


def test_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds neither \*.train.rating nor train.csv"):
        dict(measured(tmp_path, parameters()))
