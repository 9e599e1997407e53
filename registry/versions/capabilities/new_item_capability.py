"""Whether items that a version does not know may join its lists.

Knows what the version must have for that. Must not know who makes their vectors.
"""

from __future__ import annotations

from registry.new_items.new_item_records import MOST_FACTORS
from registry.versions.model import Model


def has_new_items(model: Model) -> bool:
    """Tell whether items may join a version's lists.

    Not those of a version of format 1 or of a foreign backend; nor of one whose weights need BM25's
    statistics of the items, or that has more than `MOST_FACTORS`.
    """
    vectors = model.fresh_vectors
    few = model.known_users.factors.shape[1] <= MOST_FACTORS
    return vectors is not None and vectors.weighs_alone and few
