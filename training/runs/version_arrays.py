"""What a version serves with, made of a training set and the factors fitted to it. Pure."""

from __future__ import annotations

import numpy as np

from registry.scoring.model_arrays import ModelArrays
from registry.versions.manifest import Parameters
from training.catalogue.version_items import VersionItems
from training.data.cell_weights import weights
from training.data.cells_to_keep import cells_to_keep
from training.data.matrix import Cells, Factors, csr, popularity


def arrays_of(
    cells: Cells, factors: Factors, parameters: Parameters, items: VersionItems | None = None
) -> ModelArrays:
    """Return what a version serves with; its items in the order of the cells' rows."""
    seen = csr(cells, np.ones(len(cells.user), np.bool_))
    return ModelArrays(
        user_factors=np.ascontiguousarray(factors.users),
        item_factors=np.ascontiguousarray(factors.items),
        user_ids=list(cells.user_ids),
        item_ids=list(cells.item_ids),
        seen_indptr=seen.indptr,
        seen_items=seen.indices,
        popularity=popularity(cells, weights(cells, parameters) > 0),
        titles=list(cells.titles),
        labels=items.labels(cells) if items else None,
        learned=cells_to_keep(cells, parameters),
    )
