"""How good the answers are: our defaults beside other models, on the shipped data or a file.

``python -m ops.bench.quality [--data FILE]`` prints a row a model and needs no Kafka. All use the
gate's split; tuned models are tuned on a second split of the older part.
`ops.bench.offline.rival_models` says what each row is. It is not part of the gate.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np

from ops.bench.offline import rival_models as rivals
from ops.ingest.interaction_files import read_interactions
from ops.ingest.title_files import read_titles
from ops.views import terminal
from registry.errors import ConfigurationError
from registry.ids import ItemId
from registry.settings import read_settings
from registry.versions.manifest import Parameters
from registry.wire.codec import encode
from registry.wire.training_records.interactions import Interaction
from training.data.cell_weights import weights
from training.data.cells_from_rows import gather
from training.data.matrix import Cells, Csr, csr
from training.fitting.als import fit_als, one_blas_thread
from training.fitting.neighbours import fit_neighbours
from training.judging.bootstrap import bootstrap
from training.judging.gate import GateLimits
from training.judging.holdout import Split, inner_split, split
from training.judging.quality_estimates import SEED, Estimate
from training.judging.ranking_metrics import Judgement, Score, by_factors, by_popularity, judge
from training.log.rows import table_of
from training.runs.learning_case import RunRules
from training.runs.progress import Journal
from training.runs.regularization_choice import choose_regularization, settle
from training.runs.run_rules import parameters_of

OURS: Final = "recstream"
POPULARITY: Final = "popularity"
IMPLICIT: Final = "implicit's defaults"
TUNED: Final = "implicit, tuned"
IRSPACK: Final = "irspack, tuned"
SHOWN: Final = {"ndcg": "NDCG@10", "hr": "HR@10", "recall": "recall@10"}


def shipped_cells() -> Cells:
    """Return the training set that the shipped ratings make, as a run would see it."""
    folder = Path(str(files("ops"))) / "demo"
    return cells_of_file(folder / "ratings.csv.gz", folder / "movies.csv.gz")


def cells_of_file(path: Path, titles: Path | None = None) -> Cells:
    """Return the training set that a file of interactions makes, as a run would see it.

    Raises
    ------
    ConfigurationError
        If a line cannot be read: figures must not be of a part of the file.
    """
    return cells_of(_whole_file(path, read_titles(titles) if titles else None))


def _whole_file(path: Path, titles: Mapping[ItemId, str] | None) -> Iterator[Interaction]:
    for found in read_interactions(path, titles):
        if not isinstance(found, Interaction):
            raise ConfigurationError(f"{path}: {found}; every line must be an interaction")
        yield found


def cells_of(events: Iterable[Interaction]) -> Cells:
    """Return the training set that events make which stand one after the other in a partition."""
    payloads, times = [], []
    for event in events:
        payloads.append(encode(event))
        times.append(event.timestamp or 0.0)
    rows = table_of(range(len(payloads)), times, payloads)
    return gather(lambda _columns: [(0, rows)]).cells


def default_parameters(cells: Cells) -> Parameters:
    """Return what a run without any setting would use for these interactions."""
    settings = read_settings({})
    asked = parameters_of(settings)
    rules = RunRules(GateLimits(0, 0, 0, 0.0), settings.retrain_holdout, settings.retrain_threads)
    settled = settle(asked, cells)
    return choose_regularization(asked, settled, rules, Journal("", lambda _: None))


def compared(cells: Cells, parameters: Parameters) -> dict[str, Judgement]:
    """Return what each model earns, ours last.

    Parameters
    ----------
    cells
        What is learned from, and judged by.
    parameters
        Ours.

    Raises
    ------
    ConfigurationError
        If no user can be judged, or none on the inner split.
    """
    share = read_settings({}).retrain_holdout
    halves = split(cells, weights(cells, parameters), share)
    inner = inner_split(cells, weights(cells, parameters), share)
    if not len(halves.users) or not len(inner.users):
        raise ConfigurationError("no user has enough interactions for the evaluation")
    with one_blas_thread():
        scores = _scores(cells, parameters, halves, inner)
        made = {name: judge(score, halves) for name, score in scores}
    return {name: found for name, found in made.items() if found is not None}


def values_as_they_came(cells: Cells, by: Split) -> Csr:
    """Return the older part with the sum of each cell's values, which no setting has weighed."""
    values = np.nansum(np.stack(list(cells.values.values())), axis=0).astype(np.float32)
    return csr(cells, ~by.held, values)


def difference(ours: Judgement, theirs: Judgement, metric: str) -> Estimate:
    """Return by how much ours is better, with the interval of a bootstrap over the users."""
    paired = ours.of(metric) - theirs.of(metric)
    bounds = bootstrap(paired[:, None], SEED)
    return Estimate(float(paired.mean()), bounds[0] if bounds else None)


def main() -> None:
    """Print a row a model: what it earns, and our paired difference of NDCG@10."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.quality", description=__doc__)
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="interactions, in a format that ingest reads"
    )
    file = parser.parse_args().data
    try:
        cells = cells_of_file(file) if file else shipped_cells()
        parameters = default_parameters(cells)
        found = compared(cells, parameters)
    except ConfigurationError as error:
        parser.error(str(error))
    terminal.out.print(
        f"{len(found[OURS].lists)} users; 95 % intervals by bootstrap over them; ours: "
        f"{parameters.factors} factors, regularization {parameters.regularization:g}, "
        f"alpha {parameters.alpha:g}"
    )
    columns = ("", *(f"{label} #" for label in SHOWN.values()), "ours over it, NDCG@10 #")
    terminal.out.print(terminal.grid(columns, _rows(found)))


def _rows(found: Mapping[str, Judgement]) -> list[tuple[str, ...]]:
    ours = found[OURS]
    return [
        (
            name,
            *(f"{earned.of(metric).mean():.4f}" for metric in SHOWN),
            "" if name == OURS else f"{difference(ours, earned, 'ndcg'):+.4f}",
        )
        for name, earned in found.items()
    ]


def _scores(
    cells: Cells, parameters: Parameters, by: Split, inner: Split
) -> Iterator[tuple[str, Score]]:
    older, seed = by.older, parameters.seed
    yield POPULARITY, by_popularity(by.popular)
    for name, label in (("cosine", "cosine"), ("bm25", "BM25")):
        yield label, fit_neighbours(name, older, 1, with_values=True)
    if ease := rivals.ease_of(by, inner):
        yield "EASE", ease
    yield IMPLICIT, rivals.implicit_as_it_comes(values_as_they_came(cells, by), seed)
    if rivals.has_irspack():
        yield IRSPACK, rivals.irspack_of(parameters, by, inner)
    tuned = rivals.tune_implicit(parameters, inner)
    for name, chosen in ((TUNED, tuned), (OURS, parameters)):
        yield name, by_factors(fit_als(older, chosen, 1, lambda _done: None))


if __name__ == "__main__":
    main()
