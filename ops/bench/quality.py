"""How good the answers are on the shipped data: our defaults, `implicit`'s own, and popularity.

``python -m ops.bench.quality`` prints a table and needs no Kafka. One split for all, the one that
the gate judges by; `implicit` is told what its own documentation tells it: the ratings as they are,
and no parameters. It is not part of the gate, and its numbers are of MovieLens only.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from ops.ingest.interaction_files import read_interactions
from ops.ingest.title_files import read_titles
from ops.views import terminal
from registry.settings import read_settings
from registry.wire.codec import encode
from registry.wire.interactions import Interaction
from training.data.gathering import gather
from training.data.matrix import Cells, Factors, csr, weights
from training.data.rows import table_of
from training.fitting.als import fit_als, one_blas_thread
from training.judging.holdout import Split, split
from training.judging.quality_estimates import Estimate, Quality, measure
from training.judging.ranking_metrics import by_factors, by_popularity, judge
from training.report.report_pages import METRICS
from training.runs.run import parameters_of

PREFIXES: Final = {"popularity": "popularity_", "implicit": "incumbent_", "recstream": ""}
"""Whose metrics stand under which names: `implicit` takes the incumbent's place."""


def shipped_cells() -> Cells:
    """Return the training set that the shipped ratings make, as a run would see it."""
    folder = Path(str(files("ops"))) / "demo"
    titles = read_titles(folder / "movies.csv.gz")
    events = [
        one
        for one in read_interactions(folder / "ratings.csv.gz", titles)
        if isinstance(one, Interaction)
    ]
    payloads = [encode(one) for one in events]
    times = [one.timestamp or 0.0 for one in events]
    rows = table_of(range(len(events)), times, payloads)
    return gather(lambda _columns: [(0, rows)]).cells


def compared() -> Quality:
    """Return our defaults' quality, with `implicit`'s defaults in the place of the incumbent."""
    settings = read_settings({})
    parameters, cells = parameters_of(settings), shipped_cells()
    halves = split(cells, weights(cells, parameters), settings.retrain_holdout)
    with one_blas_thread():
        ours = judge(by_factors(fit_als(halves.older, parameters, 1, lambda _: None)), halves)
        defaults = judge(by_factors(_defaults(cells, halves, parameters.seed)), halves)
    popular = judge(by_popularity(halves.popular), halves)
    assert ours is not None  # the shipped data have users
    assert defaults is not None
    assert popular is not None
    return measure(ours, popular, defaults, "recipe", 0.0)


def main() -> None:
    """Print a row a metric: what each earns, and our paired differences."""
    quality = compared()
    rows = [
        (
            label,
            *(_told(quality, f"{prefix}{name}_at_10") for prefix in PREFIXES.values()),
            *(_difference(quality, rival, name) for rival in ("popularity", "incumbent")),
        )
        for name, label in METRICS.items()
    ]
    columns = ("", *(f"{name} #" for name in (*PREFIXES, "over popularity", "over implicit")))
    terminal.out.print(f"{quality.users} users; 95 % intervals by bootstrap over them")
    terminal.out.print(terminal.grid(columns, rows))


def _defaults(cells: Cells, halves: Split, seed: int) -> Factors:
    """Fit `implicit` as it comes, on the ratings of the same older part."""
    older = csr(cells, ~halves.held, cells.values["rate"])
    model = AlternatingLeastSquares(num_threads=1, random_state=seed)
    matrix = csr_matrix((older.values, older.indices, older.indptr), shape=older.shape)
    model.fit(matrix, show_progress=False)
    return Factors(np.asarray(model.user_factors), np.asarray(model.item_factors))


def _told(quality: Quality, name: str) -> str:
    return _stacked(format(Estimate(quality.metrics[name], quality.intervals.get(name)), ".4f"))


def _difference(quality: Quality, rival: str, name: str) -> str:
    found = quality.differences[rival].get(name)
    return "" if found is None else _stacked(format(found, "+.4f"))


def _stacked(told: str) -> str:
    """Put the interval below the value, for a table of six columns."""
    return told.replace(" [", "\n[")


if __name__ == "__main__":
    main()
