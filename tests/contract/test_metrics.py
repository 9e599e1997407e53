"""The ranking metrics against ranx, on the shipped data.

`ranx` runs in a process of its own: it warns while it is imported, and compiles for half a minute
unless Numba is told not to. What it has no metric for (novelty, popularity bias, coverage) is
pinned with RecTools' numbers in tests/unit/training/judging/test_ranking_metrics.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ops.bench.offline.rival_models import implicit_as_it_comes
from ops.bench.quality import default_parameters, shipped_cells, values_as_they_came
from registry.settings import read_settings
from training.data.cell_weights import settle_transforms, weights
from training.fitting.als import fit_als
from training.judging.holdout import split
from training.judging.quality_estimates import measure
from training.judging.ranking_metrics import NOTHING, by_factors, by_popularity, judge
from training.runs.run_rules import parameters_of

RANX = """
import json, sys
import ranx
qrels, run = json.load(sys.stdin)
names = ["ndcg@10", "hit_rate@10", "recall@10", "map@10"]
found = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), names)
print(json.dumps({name: float(value) for name, value in found.items()}))
"""


def test_the_ranking_metrics_are_those_of_ranx() -> None:
    cells = shipped_cells()
    parameters = settle_transforms(parameters_of(read_settings({})), cells)
    by = split(cells, weights(cells, parameters), 0.2)
    found = judge(by_popularity(by.popular), by)
    assert found is not None
    relevant, bounds = by.relevant.indices, by.relevant.indptr
    wanted = {
        str(user): {str(item): 1 for item in relevant[bounds[user] : bounds[user + 1]]}
        for user in by.users
    }
    listed = {
        str(user): {str(item): 10 - place for place, item in enumerate(items) if item != NOTHING}
        for user, items in zip(by.users, found.lists.tolist(), strict=True)
    }

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX],
        input=json.dumps([wanted, listed]),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    metrics = found.metrics
    assert json.loads(done.stdout) == pytest.approx(
        {
            "ndcg@10": metrics.ndcg,
            "hit_rate@10": metrics.hr,
            "recall@10": metrics.recall,
            "map@10": metrics.map,
        }
    )


def test_the_defaults_beat_popularity_with_intervals_that_do_not_overlap() -> None:
    cells = shipped_cells()
    hyperparameters = default_parameters(cells)
    by = split(cells, weights(cells, hyperparameters), 0.2)
    ours = judge(by_factors(fit_als(by.older, hyperparameters, 1, lambda _done: None)), by)
    popular = judge(by_popularity(by.popular), by)
    as_it_comes = judge(
        implicit_as_it_comes(values_as_they_came(cells, by), hyperparameters.seed), by
    )
    assert ours is not None
    assert popular is not None

    quality = measure(ours, popular, as_it_comes, "recipe", 0.0)

    for metric in ("ndcg", "hr"):
        assert (
            quality.intervals[f"{metric}_at_10"][0]
            > quality.intervals[f"popularity_{metric}_at_10"][1]
        )
    ndcg = quality.differences["incumbent"]["ndcg"]
    assert ndcg.bounds is not None
    assert ndcg.bounds[0] > 0  # better than `implicit` as it comes
    assert quality.metrics["ndcg_at_10"] == pytest.approx(0.1407, abs=0.001)
