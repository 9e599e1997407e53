r"""The evaluation protocols of papers on implicit ALS: files and metrics.

Knows the file formats of the two papers, factors and NumPy; must not know settings or who fits.

- **Leave one out** (He et al.: "Neural Collaborative Filtering", 2017): each user's last item is
  ranked among sampled negatives. HR@10 is the share of users whose item is among the first ten,
  NDCG@10 the mean of :math:`1 / \log_2(r + 1)` for a rank r of at most 10, else 0. A negative with
  the same score stands before the item: ties never help.
- **Strong generalisation** (Liang et al.: "Variational Autoencoders for Collaborative Filtering",
  2018): users of the test are not in the training; some of their items are folded in, the others
  are looked for. With R of these, recall@k is the hits among the first k over
  :math:`\min(k, R)`, and NDCG@100 the discounted hits over those of a list that has
  :math:`\min(100, R)` hits first. What was folded in is never listed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.errors import ConfigurationError
from registry.versions.manifest import Parameters
from training.data.matrix import Csr, Factors, starts_of

LEAVE_ONE_OUT_K: Final = 10
RECALLS: Final = (20, 50)
NDCG_K: Final = 100

Pair: TypeAlias = tuple[int, int]
"""A user's row and an item's."""


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """What is learned from, and per user the row of his item, then those of its negatives."""

    train: Csr
    candidates: dict[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class StrongGeneralisation:
    """The training data; per test user, the items folded in and the items to find."""

    train: Csr
    fold_in: Csr
    wanted: Csr


def read_leave_one_out(folder: Path, name: str) -> LeaveOneOut:
    """Read ``NAME.train.rating`` and ``NAME.test.negative`` as the NCF paper's authors give them.

    Raises
    ------
    ConfigurationError
        If a file is missing, or a line is not as expected.
    """
    train = [
        (_whole(row[0], path, line), _whole(row[1], path, line))
        for path, line, row in _lines(folder / f"{name}.train.rating", "\t")
    ]
    candidates: dict[int, tuple[int, ...]] = {}
    for path, line, (pair, *negatives) in _lines(folder / f"{name}.test.negative", "\t"):
        user, _, item = pair.strip("()").partition(",")
        rows = (_whole(text, path, line) for text in (item, *negatives))
        candidates[_whole(user, path, line)] = tuple(rows)
    users = 1 + max((*(user for user, _ in train), *candidates), default=-1)
    tested = (row for rows in candidates.values() for row in rows)
    items = 1 + max((*(item for _, item in train), *tested), default=-1)
    return LeaveOneOut(ones_at(train, (users, items)), candidates)


def read_strong_generalisation(folder: Path) -> StrongGeneralisation:
    """Read ``train.csv``, ``test_tr.csv`` and ``test_te.csv``, columns ``uid,sid``.

    Raises
    ------
    ConfigurationError
        If a file is missing, a line is not as expected, or a user of the test has nothing to fold
        in.
    """
    train, given, wanted = (
        list(_pairs(folder / name)) for name in ("train.csv", "test_tr.csv", "test_te.csv")
    )
    items = 1 + max((item for pairs in (train, given, wanted) for _, item in pairs), default=-1)
    users = 1 + max((user for user, _ in train), default=-1)
    row_by_user = {user: row for row, user in enumerate(sorted({user for user, _ in given}))}
    if unknown := {user for user, _ in wanted} - row_by_user.keys():
        raise ConfigurationError(
            f"{folder / 'test_te.csv'}: {len(unknown)} users are not in test_tr.csv, such as "
            f"{min(unknown)}; each needs items to fold in"
        )
    given, wanted = (
        [(row_by_user[user], item) for user, item in pairs] for pairs in (given, wanted)
    )
    shape = (len(row_by_user), items)
    return StrongGeneralisation(
        ones_at(train, (users, items)), ones_at(given, shape), ones_at(wanted, shape)
    )


def ones_at(pairs: Iterable[Pair], shape: tuple[int, int]) -> Csr:
    """Return the matrix with a one at each pair, however often it comes."""
    rows = np.array(sorted(set(pairs)), np.int64).reshape(-1, 2)
    starts = starts_of(np.bincount(rows[:, 0], minlength=shape[0]))
    return Csr(starts, rows[:, 1].astype(np.int32), np.ones(len(rows), np.float32), shape)


def judge_leave_one_out(
    factors: Factors, candidates: dict[int, tuple[int, ...]]
) -> dict[str, float]:
    """Return HR@10 and NDCG@10; empty without users.

    >>> factors = Factors(np.ones((1, 1), "f4"), np.array([[2], [3], [1]], "f4"))
    >>> found = judge_leave_one_out(factors, {0: (0, 1, 2)})
    >>> found["HR@10"], round(found["NDCG@10"], 3)
    (1.0, 0.631)
    """
    ranks = np.array(
        [
            _rank(factors.items[list(rows)] @ factors.users[user])
            for user, rows in candidates.items()
        ]
    )
    if not len(ranks):
        return {}
    hit = ranks <= LEAVE_ONE_OUT_K
    gains = np.where(hit, 1 / np.log2(ranks + 1), 0)
    return {"HR@10": float(hit.mean()), "NDCG@10": float(gains.mean())}


def judge_lists(scores: NDArray[np.floating], given: Csr, wanted: Csr) -> dict[str, float]:
    """Return recall@20, recall@50 and NDCG@100 of the users who want something; empty without.

    Parameters
    ----------
    scores
        (users, items), higher is better.
    given, wanted
        Of the same users: what is never listed, and what is looked for.
    """
    users = np.flatnonzero(np.diff(wanted.indptr))
    if not len(users):
        return {}
    hidden = np.array(scores, np.float64)
    for user in users.tolist():
        hidden[user, _row(given, user)] = -np.inf
    order = np.argsort(-hidden[users], axis=1, kind="stable")[:, :NDCG_K]
    hits = np.stack(
        [
            np.isin(listed, _row(wanted, user))
            for user, listed in zip(users.tolist(), order, strict=True)
        ]
    )
    counts = np.diff(wanted.indptr)[users]
    found = {
        f"recall@{k}": float((hits[:, :k].sum(axis=1) / np.minimum(k, counts)).mean())
        for k in RECALLS
    }
    discount = 1 / np.log2(np.arange(NDCG_K) + 2)
    best = np.cumsum(discount)[np.minimum(counts, NDCG_K) - 1]
    gains = (hits * discount[: hits.shape[1]]).sum(axis=1) / best
    return found | {f"NDCG@{NDCG_K}": float(gains.mean())}


def fold_in(
    items: NDArray[np.float32], weights: Csr, parameters: Parameters
) -> NDArray[np.float32]:
    r"""Return the factors of new users: each row solves the equations of a half-step of the fit.

    .. math::
        (Y^\top Y + Y^\top (C_u - 1) Y + \lambda I)\, x_u = Y^\top C_u p_u, \quad c = \alpha w

    Parameters
    ----------
    items
        (items, factors).
    weights
        (new users, items).
    parameters
        Its ``alpha`` and ``regularization``, those of the fit.

    Returns
    -------
    (new users, factors); zeros for a user without weights.
    """
    known = items.astype(np.float64)
    base = known.T @ known + parameters.regularization * np.eye(known.shape[1])
    found = np.zeros((weights.shape[0], known.shape[1]), np.float32)
    for user in np.flatnonzero(np.diff(weights.indptr)):
        row = slice(weights.indptr[user], weights.indptr[user + 1])
        liked = known[weights.indices[row]]
        confidence = parameters.alpha * weights.values[row].astype(np.float64)
        left = base + (liked.T * (confidence - 1)) @ liked
        found[user] = np.linalg.solve(left, liked.T @ confidence)
    return found


def _rank(scores: NDArray[np.floating]) -> int:
    """Return the rank of the first one, from 1."""
    return 1 + int((scores[1:] >= scores[0]).sum())


def _row(matrix: Csr, user: int) -> NDArray[np.int32]:
    return matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]


def _pairs(path: Path) -> Iterator[Pair]:
    lines = _lines(path, ",")
    _, _, header = next(lines, (path, 1, []))
    if header[:2] != ["uid", "sid"]:
        raise ConfigurationError(f"{path}: the header is {header}, expected uid,sid")
    for file, line, row in lines:
        yield _whole(row[0], file, line), _whole(row[1], file, line)


def _lines(path: Path, delimiter: str) -> Iterator[tuple[Path, int, Sequence[str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.reader(file, delimiter=delimiter), 1):
                if len(row) < 2:
                    raise ConfigurationError(f"{path}:{line}: {row}, expected two fields or more")
                yield path, line, row
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; the protocol needs it") from error


def _whole(text: str, path: Path, line: int) -> int:
    if not text.isascii() or not text.isdigit():
        raise ConfigurationError(f"{path}:{line}: {text!r}, expected a row number from 0")
    return int(text)
