"""Whether fresh events can be merged into a version, and what solves for their users then.

Knows what manifest and arrays must say for that. Must not know how vectors are solved for
(`registry.fold_in`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from registry.fold_in.fresh_vectors import FreshVectors
from registry.fold_in.loss_function import BACKENDS, Filled, loss_function
from registry.ids import ItemId
from registry.scoring.model_arrays import ModelArrays
from registry.versions.manifest import Manifest
from registry.weighing import Weighing


def fresh_vectors_of(
    manifest: Manifest,
    arrays: ModelArrays,
    learned_users: int,
    row_of: Callable[[ItemId], int | None],
) -> FreshVectors | None:
    """Return what solves for users with fresh events.

    Parameters
    ----------
    manifest, arrays
        The version's.
    learned_users
        Users whose vector is not all zeros.
    row_of
        Returns an item's row; None: it has none.

    Returns
    -------
    None if the version keeps nothing to merge with (format 1), if this program does not know the
    loss of its backend, or if nothing was learned.
    """
    learned, entries = arrays.learned, int(arrays.popularity.sum())
    if learned is None or manifest.backend not in BACKENDS or not entries:
        return None
    parameters = manifest.parameters
    filled = Filled(learned_users, int(np.count_nonzero(arrays.popularity)), entries)
    return FreshVectors(
        arrays.item_factors,
        loss_function(manifest.backend, parameters.alpha, parameters.regularization, filled),
        learned,
        Weighing(
            parameters.weights,
            learned.newest,
            parameters.half_life_days,
            parameters.window_days,
            learned.bm25,
        ),
        arrays.seen_indptr,
        arrays.seen_items,
        row_of,
    )
