"""The order of scored items: the highest score first, equal scores by row. Pure.

By row, so that an answer is the same on every processor; which scores are equal there, too, is in
`registry.scoring.ranking`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from registry.scoring.kernels import ItemRows


def best_first(rows: ItemRows, scores: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Return the places of `rows`, the best first.

    >>> best_first(np.array([7, 5, 6], np.int32), np.array([1.0, 2.0, 2.0])).tolist()
    [1, 2, 0]
    """
    return np.lexsort((rows, -scores))
