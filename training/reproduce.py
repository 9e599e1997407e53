"""Making a version again from its snapshot, and how far the copy is from it.

An edge: knows the registry's segments and versions; must not know Kafka, nor how it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from registry.artifact import ModelArrays
from registry.manifest import Manifest
from registry.settings import Settings
from registry.store import Store
from training.fit import Fit, one_blas_thread
from training.matrix import csr, trim, weights
from training.progress import Journal
from training.run import arrays_of
from training.snapshot import read_again

NUMBERS: Final = ("user_factors", "item_factors", "popularity")
EXACT: Final = ("user_ids", "item_ids", "seen_indptr", "seen_items", "titles")


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How a version that was made again compares with the published one.

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


def reproduce(
    settings: Settings, store: Store, version: str, fit: Fit, journal: Journal
) -> Reproduction:
    """Train `version` again, with its parameters, on its snapshot; publish nothing.

    Parameters
    ----------
    settings
        Registry and threads.
    store
        Where it is published.
    version
        Which one.
    fit
        What makes the factors.
    journal
        Told of the stages.

    Raises
    ------
    UnknownVersion, DamagedVersion
        If it is not there, or not as it was published.
    TrainingFailed
        ``lost_range`` if its snapshot is no longer whole.
    """
    published = store.open(version)
    manifest = published.manifest
    parameters = manifest.parameters
    with one_blas_thread():
        with journal.stage("snapshot"):
            cells = trim(read_again(settings, manifest.data_snapshot).cells, parameters)
        with journal.stage("fit"):
            weight = weights(cells, parameters)
            matrix = csr(cells, weight > 0, weight)
            advance = partial(_advance, journal, parameters.iterations)
            factors = fit(matrix, parameters, settings.retrain_threads, advance)
    return compared(manifest, published.arrays, arrays_of(cells, factors, parameters))


def compared(manifest: Manifest, published: ModelArrays, again: ModelArrays) -> Reproduction:
    """Compare two sets of arrays."""
    pairs = {name: (getattr(published, name), getattr(again, name)) for name in (*NUMBERS, *EXACT)}
    return Reproduction(
        manifest,
        {name: _largest(*pairs[name]) for name in NUMBERS},
        tuple(name for name, (one, other) in pairs.items() if not _same(one, other)),
    )


def _advance(journal: Journal, total: int, done: int) -> None:
    journal.advance(done, total)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return one == other and list(map(type, one)) == list(map(type, other))
    return one.shape == other.shape and bool((one == other).all())


def _largest(one: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    if one.shape != other.shape:
        return None
    return float(np.abs(one.astype(np.float64) - other).max(initial=0))
