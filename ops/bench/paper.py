"""The papers' own protocols with our fit, if you have their files.

``python -m ops.bench.paper --data FOLDER`` detects what the folder holds: ``NAME.train.rating`` and
``NAME.test.negative`` (ML-1M and Pinterest, leave one out; Rendle et al. 2022 report HR@10 0.722
and 0.892, NDCG@10 0.445 and 0.573 at 64 factors), or ``train.csv``, ``test_tr.csv``,
``test_te.csv`` (ML-20M and MSD, strong generalisation). It needs no Kafka. Unset parameters follow
the data's size.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from ops.bench.offline import paper_protocols as protocols
from ops.views import terminal
from registry.errors import ConfigurationError
from registry.versions.manifest import Parameters
from training.data.matrix import Csr, Factors
from training.fitting.als import fit_als, one_blas_thread
from training.fitting.size_rules import BY_SIZE, settle_sizes

TRAIN: Final = ".train.rating"
USERS_AT_ONCE: Final = 500
"""Their scores of all items are held at once: 160 MB at 41,000 items."""


def main() -> None:
    """Print a row a data set."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.paper", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--factors", type=int, default=BY_SIZE)
    parser.add_argument("--regularization", type=float, default=BY_SIZE)
    parser.add_argument("--alpha", type=float, default=BY_SIZE)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--seed", type=int, default=42)
    given = parser.parse_args()
    asked = Parameters(
        given.factors, given.iterations, given.regularization, given.alpha, given.seed
    )
    try:
        for name, found in measured(given.data, asked):
            numbers = ", ".join(f"{metric} {value:.4f}" for metric, value in found.items())
            terminal.out.print(f"{name}: {numbers}")
    except ConfigurationError as error:
        parser.error(str(error))


def measured(folder: Path, asked: Parameters) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield each data set of the folder, with its metrics.

    Raises
    ------
    ConfigurationError
        If the folder holds none, or a file is not as expected.
    """
    names = sorted(file.name.removesuffix(TRAIN) for file in folder.glob(f"*{TRAIN}"))
    strong = (folder / "train.csv").exists()
    if not names and not strong:
        raise ConfigurationError(f"{folder} holds neither *{TRAIN} nor train.csv")
    for name in names:
        left_out = protocols.read_leave_one_out(folder, name)
        factors, _ = _fitted(left_out.train, asked)
        yield name, protocols.judge_leave_one_out(factors, left_out.candidates)
    if strong:
        yield folder.name, _judge_strong(protocols.read_strong_generalisation(folder), asked)


def _fitted(train: Csr, asked: Parameters) -> tuple[Factors, Parameters]:
    parameters = settle_sizes(asked, train)
    with one_blas_thread():
        return fit_als(train, parameters, 0, lambda _done: None), parameters


def _judge_strong(on: protocols.StrongGeneralisation, asked: Parameters) -> dict[str, float]:
    factors, parameters = _fitted(on.train, asked)
    users = protocols.fold_in(factors.items, on.fold_in, parameters)
    weighed: dict[str, list[tuple[float, int]]] = {}
    for first in range(0, len(users), USERS_AT_ONCE):
        rows = slice(first, first + USERS_AT_ONCE)
        given, wanted = (_rows(matrix, rows) for matrix in (on.fold_in, on.wanted))
        judged = int(np.count_nonzero(np.diff(wanted.indptr)))
        found = protocols.judge_lists(users[rows] @ factors.items.T, given, wanted)
        for metric, value in found.items():
            weighed.setdefault(metric, []).append((value, judged))
    return {
        metric: sum(value * count for value, count in parts) / sum(count for _, count in parts)
        for metric, parts in weighed.items()
    }


def _rows(matrix: Csr, rows: slice) -> Csr:
    indptr = matrix.indptr[rows.start : rows.stop + 1]
    entries = slice(indptr[0], indptr[-1])
    return Csr(
        indptr - indptr[0],
        matrix.indices[entries],
        matrix.values[entries],
        (len(indptr) - 1, matrix.shape[1]),
    )


if __name__ == "__main__":
    main()
