"""Reproducing a version from its snapshot, and how much the copy differs.

An edge: knows the registry's segments and versions; must not know Kafka, nor how it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed, UnknownVersion
from registry.fold_in.learned_cells import columns_of
from registry.scoring.model_arrays import ModelArrays
from registry.settings import Settings
from registry.versions.manifest import Manifest, Parameters, TrialStart, WarmStart, content_digest
from registry.versions.store import Store
from training.catalogue.version_items import ITEMS_FILE, VersionItems, decode_items
from training.data.cell_weights import weights
from training.data.item_order import by_falling_norm, by_ids
from training.data.matrix import Cells, Factors, csr
from training.data.minimums import trim
from training.data.snapshot import read_again
from training.fitting.als import one_blas_thread
from training.fitting.backends import fit_from_of, fit_of
from training.fitting.warm_start import first_values, shortened
from training.judging.holdout import split
from training.judging.incumbent import align
from training.runs.progress import Journal
from training.runs.version_arrays import arrays_of

NUMBERS: Final = ("user_factors", "item_factors", "popularity")
EXACT: Final = ("user_ids", "item_ids", "seen_indptr", "seen_items", "titles")


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How a reproduced version compares with the published one.

    Parameters
    ----------
    manifest
        Of the published one.
    largest
        Largest difference of a number, by array; None where the shapes differ.
    different
        Arrays that are not the same, bit by bit.
    """

    manifest: Manifest
    largest: dict[str, float | None]
    different: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether every array has the same bytes."""
        return not self.different


def reproduce(settings: Settings, store: Store, version: str, journal: Journal) -> Reproduction:
    """Train `version` again as it was: by its backend, on its snapshot; publish nothing.

    A fit that began with the trial's factors begins with them again: the trial is made first. One
    that began with those of another version takes that version as it is: to check a chain of them,
    reproduce each.

    Parameters
    ----------
    settings
        Registry, threads, and where Spark runs.
    store
        Where it is published.
    version
        Which one.
    journal
        Told of the stages.

    Raises
    ------
    UnknownVersion, DamagedVersion
        If it is not there, or not as it was published.
    ConfigurationError
        If this program has not the backend that fitted it.
    TrainingFailed
        ``lost_range`` if its snapshot is no longer whole, ``lost_start`` if the version is gone
        whose factors it began with.
    """
    published = store.open(version)
    manifest = published.manifest
    parameters = manifest.parameters
    with one_blas_thread():
        with journal.stage("snapshot"):
            read = read_again(settings, manifest.data_snapshot, parameters.weights)
            items = _items_of(store, manifest)
            cells = items.entitle(trim(read.cells, parameters))
        with journal.stage("fit"):
            factors = _fitted(settings, store, manifest, cells, journal)
    again = arrays_again(published.arrays, cells, factors, parameters, items)
    return compared(manifest, published.arrays, again)


def arrays_again(
    published: ModelArrays,
    cells: Cells,
    factors: Factors,
    parameters: Parameters,
    items: VersionItems | None = None,
) -> ModelArrays:
    """Return what a version serves with, its items in the published order if they are the same.

    So each item is compared with itself, whatever order its factors' last digits would give it.
    """
    if set(cells.item_ids) == set(published.item_ids):
        ordered = by_ids(cells, factors, published.item_ids)
    else:
        ordered = by_falling_norm(cells, factors)
    return arrays_of(*ordered, parameters, items)


def compared(manifest: Manifest, published: ModelArrays, again: ModelArrays) -> Reproduction:
    """Compare two sets of arrays."""
    pairs = {name: (getattr(published, name), getattr(again, name)) for name in (*NUMBERS, *EXACT)}
    if published.learned is not None and again.learned is not None:
        columns, others = columns_of(published.learned), columns_of(again.learned)
        pairs |= {name: (column, others[name]) for name, column in columns.items()}
    pairs |= {
        f"label_{name}": (getattr(published.labels, name, None), getattr(again.labels, name, None))
        for name in ("table", "indptr", "ids")
    }
    return Reproduction(
        manifest,
        {name: _largest(*pairs[name]) for name in NUMBERS},
        tuple(name for name, (left, right) in pairs.items() if not _same(left, right)),
    )


def _fitted(
    settings: Settings, store: Store, manifest: Manifest, cells: Cells, journal: Journal
) -> Factors:
    """Fit as a version was fitted, from where its fit began."""
    parameters, threads = manifest.parameters, settings.retrain_threads
    start = manifest.provenance.start if manifest.provenance else None
    fit, weight = fit_of(settings, manifest.backend), weights(cells, parameters)
    trial_parameters = shortened(parameters, start)
    trial = parameters.iterations if isinstance(start, TrialStart) else 0

    def advance(before: int, done: int) -> None:
        journal.advance(before + done, trial + trial_parameters.iterations)

    first: Factors | None = None
    if isinstance(start, TrialStart):
        trial_on = split(cells, weight, start.holdout, start.order, parameters.seed).older
        first = fit(trial_on, parameters, threads, partial(advance, 0))
        del trial_on  # what follows needs the memory
    elif isinstance(start, WarmStart):
        published = align(_started_from(store, manifest.version, start), cells)
        first = first_values(published, parameters)
    if first is not None:
        fit = partial(fit_from_of(manifest.backend), start=first)
    return fit(csr(cells, weight > 0, weight), trial_parameters, threads, partial(advance, trial))


def _started_from(store: Store, version: str, start: WarmStart) -> ModelArrays:
    subject = f"{version} started from the factors of {start.version}"
    try:
        found = store.open(start.version)
    except UnknownVersion as error:
        raise TrainingFailed(
            f"{subject}, without which it cannot be reproduced: {error}", TrainingCode.LOST_START
        ) from error
    if content_digest(found.manifest) != start.digest:
        raise TrainingFailed(
            f"{subject} as {start.digest}, but a different version has this name now: "
            f"{content_digest(found.manifest)}",
            TrainingCode.LOST_START,
        )
    return found.arrays


def _items_of(store: Store, manifest: Manifest) -> VersionItems:
    """Return the records that a version took its titles from; those of its time are gone."""
    if ITEMS_FILE not in manifest.files:
        return VersionItems()
    return decode_items(store.read(manifest.version, ITEMS_FILE))


def _same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    if isinstance(left, list):
        return left == right and list(map(type, left)) == list(map(type, right))
    return left.shape == right.shape and bool((left == right).all())


def _largest(left: NDArray[np.floating], right: NDArray[np.floating]) -> float | None:
    if left.shape != right.shape:
        return None
    return float(np.abs(left.astype(np.float64) - right).max(initial=0))
