"""The report of a run, for people: HTML and Markdown of the same findings.

Knows what is shown and how it is worded; must not know how it was found, nor where it is kept. The
HTML needs no network and runs no script. It names some users and what they watched, as the snapshot
does: whoever may read the registry may read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from registry.versions.manifest import Parameters
from registry.wire.training_records.data_report import DataReport
from registry.wire.training_records.gate_results import DataSnapshot
from training.data.matrix import Cells
from training.judging.findings import Evaluation, Learned
from training.judging.holdout import HELD_OUT, Rows, evenly
from training.judging.quality_estimates import Estimate, Quality
from training.judging.ranking_metrics import NOTHING, Judgement
from training.report import svg as drawings
from training.report.svg import IntervalBar

HTML: Final = "report.html"
MARKDOWN: Final = "report.md"

SAMPLE_USERS: Final = 4
RECENT_ITEMS: Final = 6
CURVE_POINTS: Final = 51

METRICS: Final = {
    "ndcg": "NDCG@10",
    "hr": "HR@10",
    "recall": "recall@10",
    "map": "MAP@10",
    "coverage": "coverage@10",
    "novelty": "novelty@10, bits",
    "arp": "popularity bias@10",
}
COMPARED: Final = ("ndcg", "hr", "recall", "map")

Page: TypeAlias = Callable[[str | None], bytes]
"""A file of the report, as a function of the version; None: there is none, or not yet."""


@dataclass(frozen=True, slots=True)
class About:
    """Where a run comes from.

    Parameters
    ----------
    run_id, created_at, created_by, model_name, git_sha
        As in the manifest.
    incumbent
        The version that the run was compared with; None without one.
    snapshot, parameters
        What it learned from, and how.
    data
        What was found in the interactions; None if nobody looked.
    """

    run_id: str
    created_at: str
    created_by: str
    model_name: str
    git_sha: str
    incumbent: str | None
    snapshot: DataSnapshot
    parameters: Parameters
    data: DataReport | None = None


def report_pages(about: About, learned: Learned, cells: Cells) -> dict[str, Page]:
    """Return the report's files by name, :data:`HTML` and :data:`MARKDOWN`.

    Parameters
    ----------
    about
        Where the run comes from.
    learned
        What came out; a run that was refused has a report too.
    cells
        The training set, for the sample users.
    """
    shown = _shown(about, learned, cells)
    return {name: partial(_page, name, shown) for name in (HTML, MARKDOWN)}


def _page(name: str, shown: dict[str, Any], version: str | None) -> bytes:
    return _TEMPLATES.get_template(f"{name}.jinja").render(shown, version=version).encode()


def _cell(text: object) -> str:
    """Return text for a cell of a Markdown table."""
    return (
        " ".join(str(text).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    )


_TEMPLATES: Final = Environment(
    loader=PackageLoader("training.report"),
    autoescape=lambda name: name is not None and name.startswith(HTML),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["cell"] = _cell


def _shown(about: About, learned: Learned, cells: Cells) -> dict[str, Any]:
    evaluation = learned.evaluation
    shown = {
        "about": _about(about) | _start(learned),
        "model": about.model_name,
        "incumbent": about.incumbent,
        "gate": learned.gate,
        "data": about.data,
        "judged": 0,
    }
    if evaluation is None:
        return shown
    return shown | {
        "judged": evaluation.quality.users,
        "whose": list(_judgements(evaluation)),
        "compared": [*_judgements(evaluation), *evaluation.baselines],
        "basis": _basis(evaluation.quality, about.incumbent),
        "by": HELD_OUT[evaluation.split.order],
        "metrics": _metric_rows(evaluation.quality),
        "bars": Markup(_bars(evaluation.quality)),
        "over": sorted(evaluation.quality.differences),
        "differences": {
            rival: Markup(_differences(evaluation.quality, rival))
            for rival in evaluation.quality.differences
            if rival not in evaluation.baselines
        },
        "curves": Markup(_curves(evaluation)),
        "samples": [_sample(evaluation, place, cells) for place in _sampled(evaluation)],
    }


def _about(about: About) -> dict[str, str]:
    snapshot = about.snapshot
    spans = ", ".join(
        f"{partition}: {start}–{end}" for partition, (start, end) in snapshot.partitions.items()
    )
    return {
        "run": about.run_id,
        "made": f"{about.created_at} by {about.created_by}",
        "code": about.git_sha or "unknown",
        "compared with": about.incumbent or "nothing: no version is deployed yet",
        "snapshot": snapshot.id,
        "learned from": f"{snapshot.interactions:,} interactions of {snapshot.users:,} users with "
        f"{snapshot.items:,} items in {snapshot.topic}",
        **({"left out": snapshot.unusable_words} if snapshot.unusable else {}),
        "offsets": spans,
        "parameters": ", ".join(
            f"{name}={value}" for name, value in about.parameters.text_by_name.items()
        ),
    }


def _start(learned: Learned) -> dict[str, str]:
    """Say where the fit began, if anything but chance was asked for."""
    return {} if learned.start is None else {"begun": str(learned.start)}


def _basis(quality: Quality, incumbent: str | None) -> str:
    if quality.basis is None:
        return "There is no incumbent to compare with."
    if quality.basis == "published":
        return f"{incumbent} answers as served: the held-out interactions are new to it, too."
    return (
        f"{incumbent} is represented by its parameters, fitted again on the older part: too few "
        f"held-out interactions are new to the served version."
    )


def _judgements(evaluation: Evaluation) -> dict[str, Judgement]:
    judged = {
        "candidate": evaluation.candidate,
        "incumbent": evaluation.incumbent,
        "popularity": evaluation.popularity,
    }
    return {whose: judgement for whose, judgement in judged.items() if judgement is not None}


def _metric_rows(quality: Quality) -> list[tuple[str, list[str]]]:
    """Return a row a metric: a cell for each that was judged, and one for each difference."""
    judged = [("", quality.candidate), ("incumbent_", quality.incumbent)]
    judged.append(("popularity_", quality.popularity))
    judged += [(f"{name}_", metrics) for name, metrics in quality.baselines.items()]
    rows = []
    for name, label in METRICS.items():
        row = [
            f"{Estimate(getattr(metrics, name), quality.intervals.get(f'{whose}{name}_at_10')):.4f}"
            for whose, metrics in judged
            if metrics is not None
        ]
        for rival in sorted(quality.differences):
            found = quality.differences[rival].get(name)
            row.append("" if found is None else f"{found:+.4f}")
        rows.append((label, row))
    return rows


def _bars(quality: Quality) -> str:
    judged = {
        "candidate": ("", quality.candidate),
        "incumbent": ("incumbent_", quality.incumbent),
        "popularity": ("popularity_", quality.popularity),
    }
    return drawings.bars(
        {
            METRICS[name]: [
                IntervalBar(
                    kind, getattr(metrics, name), quality.intervals.get(f"{prefix}{name}_at_10")
                )
                for kind, (prefix, metrics) in judged.items()
                if metrics is not None
            ]
            for name in COMPARED
        }
    )


def _differences(quality: Quality, rival: str) -> str:
    found = quality.differences[rival]
    return drawings.differences(
        {
            METRICS[name]: IntervalBar("candidate", gain.value, gain.bounds)
            for name, gain in found.items()
        }
    )


def _curves(evaluation: Evaluation) -> str:
    """Draw which part of all places the most popular items take, and of what users did."""
    by = evaluation.split
    order = np.argsort(-by.popular, kind="stable")
    places = {whose: each.lists.ravel() for whose, each in _judgements(evaluation).items()}
    places["held"] = np.concatenate(
        [
            by.relevant.indices[by.relevant.indptr[row] : by.relevant.indptr[row + 1]]
            for row in by.users
        ]
    ).astype(np.int64)
    powers = range(int(np.log10(len(order))) + 1)
    return drawings.curves(
        {whose: _cumulated(items, order) for whose, items in places.items()},
        {f"{10**power:,}": power / max(np.log10(len(order)), 1) for power in powers},
        "this many of the most popular items ...",
        "... have this share",
    )


def _cumulated(items: Rows, order: Rows) -> list[float]:
    """Return the share that the n most popular items have, n growing evenly in its logarithm."""
    times = np.bincount(items[items != NOTHING], minlength=len(order))[order]
    shares = np.cumsum(times) / max(times.sum(), 1)
    ranks = np.geomspace(1, max(len(order), 10), CURVE_POINTS)
    chosen: list[float] = shares[np.minimum(ranks, len(order)).astype(np.int64) - 1].tolist()
    return chosen


def _sampled(evaluation: Evaluation) -> list[int]:
    places: list[int] = evenly(np.arange(len(evaluation.split.users)), SAMPLE_USERS).tolist()
    return places


def _sample(evaluation: Evaluation, place: int, cells: Cells) -> dict[str, Any]:
    """Return what one user is shown, beside what they had and what was held out."""
    row, relevant = evaluation.split.users[place], evaluation.split.relevant
    wanted = relevant.indices[relevant.indptr[row] : relevant.indptr[row + 1]].tolist()
    older = np.flatnonzero((cells.user == row) & ~evaluation.split.held)
    recent = cells.item[older[np.argsort(-cells.time[older], kind="stable")][:RECENT_ITEMS]]
    return {
        "user": cells.user_ids[row],
        "recent": _titles(recent.tolist(), cells),
        "older": len(older),
        "held": len(wanted),
        "lists": {
            whose: [(title, item in wanted) for title, item in _listed(each.lists[place], cells)]
            for whose, each in _judgements(evaluation).items()
        },
    }


def _listed(items: Rows, cells: Cells) -> list[tuple[str, int]]:
    rows = items[items != NOTHING].tolist()
    return list(zip(_titles(rows, cells), rows, strict=True))


def _titles(rows: Sequence[int], cells: Cells) -> list[str]:
    return [cells.titles[row] or f"item {cells.item_ids[row]}" for row in rows]
