"""The arrays of one model version: their dtypes and shapes, and what must never be served.

Pure. Must not know files (`registry.versions.artifact_format`), versions or scoring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from registry.catalogue.item_labels import ItemLabels
from registry.errors import DamagedVersion
from registry.fold_in.learned_cells import LearnedCells, check_learned
from registry.ids import ItemId, UserId, pieces

MAX_ITEMS: Final = (2**31 - 1) // 100
"""``implicit``'s top-k addresses 100 users × items with a 32-bit int; more items would overflow."""

Factors: TypeAlias = npt.NDArray[np.float32]

DTYPES: Final[Mapping[str, tuple[type[np.generic], int]]] = {
    "user_factors": (np.float32, 2),
    "item_factors": (np.float32, 2),
    "seen_indptr": (np.int64, 1),
    "seen_items": (np.int32, 1),
    "popularity": (np.float64, 1),
}
"""dtype and number of dimensions of each array; each is one ``.npy`` file of its name."""


@dataclass(frozen=True, slots=True)
class ModelArrays:
    """All that an answer needs.

    Parameters
    ----------
    user_factors, item_factors
        float32, (users, factors) and (items, factors), C-contiguous.
    user_ids, item_ids
        Row to id; the JSON type is kept (``5`` and ``"5"`` are different ids).
    seen_indptr, seen_items
        The item rows that each user has seen, as CSR: int64 (users + 1,) and int32 (seen,).
    popularity
        Interactions per item in the training set, float64 (items,).
    titles
        By item row; None where there is none.
    learned
        What later events are merged with; None: the version was published without (format 1).
    labels
        Of the items; None if none has any, or the release that made the version had none.
    """

    user_factors: Factors
    item_factors: Factors
    user_ids: list[UserId]
    item_ids: list[ItemId]
    seen_indptr: npt.NDArray[np.int64]
    seen_items: npt.NDArray[np.int32]
    popularity: npt.NDArray[np.float64]
    titles: list[str | None]
    learned: LearnedCells | None = None
    labels: ItemLabels | None = None


def check_arrays(arrays: ModelArrays) -> None:
    """Check everything that an answer relies on.

    Finite factors are not enough: a product of two of them must be finite too. By Cauchy-Schwarz
    no score, and no partial sum of one, is larger than ``max|u| · max|i|``, so that is bounded.

    Raises
    ------
    DamagedVersion
        Naming the array, what was seen and what is allowed.
    """
    for name, (dtype, dimensions) in DTYPES.items():
        _check_layout(name, getattr(arrays, name), np.dtype(dtype), dimensions)
    _check_counts(arrays)
    _check_ids("user_ids", arrays.user_ids)
    _check_ids("item_ids", arrays.item_ids)
    _check_factors(arrays)
    _check_seen(arrays)
    require(
        "popularity",
        bool(np.isfinite(arrays.popularity).all() and (arrays.popularity >= 0).all()),
        "a count is negative or not finite",
    )
    if arrays.learned is not None:
        check_learned(arrays.learned, len(arrays.seen_items), len(arrays.item_ids))
    if arrays.labels is not None and (why := arrays.labels.complaint(len(arrays.item_ids))):
        raise DamagedVersion(why)


def _check_layout(name: str, array: Any, dtype: np.dtype[Any], dimensions: int) -> None:
    require(name, isinstance(array, np.ndarray), f"is a {type(array).__name__}, not an array")
    require(name, array.dtype == dtype, f"dtype {array.dtype}, {dtype} is needed")
    require(name, array.ndim == dimensions, f"{array.ndim} dimensions, {dimensions} are needed")
    require(name, array.flags.forc, "is not contiguous")


def _check_counts(arrays: ModelArrays) -> None:
    users, items = len(arrays.user_ids), len(arrays.item_ids)
    require("user_ids", users > 0, "there is no user")
    require("item_ids", 0 < items <= MAX_ITEMS, f"{items} items, 1..{MAX_ITEMS} are allowed")
    rows = {
        "user_factors": users,
        "item_factors": items,
        "seen_indptr": users + 1,
        "popularity": items,
    }
    for name, needed in rows.items():
        seen = len(getattr(arrays, name))
        require(
            name, seen == needed, f"{seen} rows, {needed} needed for {users} users, {items} items"
        )
    columns, needed = arrays.user_factors.shape[1], arrays.item_factors.shape[1]
    require("user_factors", columns == needed, f"{columns} factors, item_factors has {needed}")
    titles = len(arrays.titles)
    require("titles", titles == items, f"{titles} titles for {items} items")


def _check_ids(name: str, ids: list[Any]) -> None:
    seen: set[Any] = set()
    for piece in pieces(ids):
        for kind in set(map(type, piece)) - {int, str}:
            wrong = next(value for value in piece if type(value) is kind)
            require(name, False, f"{wrong!r} is not an integer or a string")
        seen.update(piece)
    require(name, len(seen) == len(ids), f"{len(ids) - len(seen)} ids occur twice")


def _check_factors(arrays: ModelArrays) -> None:
    largest = {}
    for name in ("user_factors", "item_factors"):
        factors = getattr(arrays, name)
        norms = np.sqrt(np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
        largest[name] = float(norms.max())
        require(name, bool(np.isfinite(norms).all()), "holds values that are not finite")
        require(name, largest[name] > 0, "is all zeros")
    bound = largest["user_factors"] * largest["item_factors"]
    require(
        "user_factors",
        bound < float(np.finfo(np.float32).max) / 2,
        f"times item_factors reaches {bound:.3g}, too large for float32 scores",
    )


def _check_seen(arrays: ModelArrays) -> None:
    indptr, seen, items = arrays.seen_indptr, arrays.seen_items, len(arrays.item_ids)
    require(
        "seen_indptr",
        bool(indptr[0] == 0 and indptr[-1] == len(seen) and (np.diff(indptr) >= 0).all()),
        f"must rise from 0 to {len(seen)}, the length of seen_items",
    )
    require(
        "seen_items",
        not len(seen) or bool(seen.min() >= 0 and seen.max() < items),
        f"names rows outside of 0..{items - 1}",
    )


def require(name: str, holds: bool, complaint: str) -> None:
    """Refuse what is not as it must be; `name` says which array or file it is."""
    if not holds:
        raise DamagedVersion(f"{name}: {complaint}")
