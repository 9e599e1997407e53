"""The artifact: the arrays of one model version, and how they lie in a folder.

Knows the files' names, dtypes and shapes, and what must never be served. Must not know versions,
manifests or scoring. Arrays are ``.npy`` files without pickles, memory-mapped on reading, so that
the workers of one machine share one copy; ids and titles are JSON, which keeps the ids' types.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from registry.errors import DamagedVersion
from registry.ids import ItemId, UserId, pieces

FORMAT: Final = 1
"""Raised when a reader of this format would misread the next one; any other is refused."""

MAX_ITEMS: Final = (2**31 - 1) // 100
"""``implicit``'s top-k addresses 100 users × items with a 32-bit int; more items would overflow."""

Factors: TypeAlias = npt.NDArray[np.float32]

_DTYPES: Final[Mapping[str, tuple[type[np.generic], int]]] = {
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
    """

    user_factors: Factors
    item_factors: Factors
    user_ids: list[UserId]
    item_ids: list[ItemId]
    seen_indptr: npt.NDArray[np.int64]
    seen_items: npt.NDArray[np.int32]
    popularity: npt.NDArray[np.float64]
    titles: list[str | None]


class _Shape(Struct, frozen=True, forbid_unknown_fields=True):
    """``shape.json``: what the writer wrote, for the reader to compare with what it finds."""

    format: int
    users: int
    items: int
    factors: int
    seen: int


def write_artifact(arrays: ModelArrays, folder: Path) -> None:
    """Write `arrays` into `folder`, which is made if it is missing.

    Raises
    ------
    DamagedVersion
        If the arrays fail :func:`check_arrays`; nothing is written then.
    """
    check_arrays(arrays)
    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: getattr(arrays, name) for name in _DTYPES}
    columns["item_factors"] = np.asfortranarray(arrays.item_factors)  # as scoring reads them
    for name, array in columns.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    documents = {
        "user_ids": arrays.user_ids,
        "item_ids": arrays.item_ids,
        "titles": arrays.titles,
        "shape": _shape_of(arrays),
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_bytes(msgspec.json.encode(document))


OpenFile: TypeAlias = Callable[[str], BufferedReader]
"""Opens one file of an artifact by its name, at its beginning."""


def files_in(folder: Path) -> OpenFile:
    """Return what opens the files of the artifact in `folder`."""
    return lambda name: (folder / name).open("rb")


def read_artifact(open_file: OpenFile) -> ModelArrays:
    """Read and check what :func:`write_artifact` wrote; the arrays are read-only memory maps.

    Every file is opened once, so what was verified when it was opened is what is mapped: nobody
    can put another in its place in between, and removing it takes nothing away from the map. An
    array is mapped only if its file is as long as the header claims, so that no header can make
    the reader allocate.

    Parameters
    ----------
    open_file
        Such as :func:`files_in` returns.

    Raises
    ------
    DamagedVersion
        Naming the file that is missing or unreadable, or the array that is not as it must be.
    """
    shape = _read_json(open_file, "shape.json", _Shape)
    if shape.format != FORMAT:
        raise DamagedVersion(f"shape.json: format {shape.format}, this program reads {FORMAT}")
    columns: dict[str, Any] = {name: _read_array(open_file, f"{name}.npy") for name in _DTYPES}
    arrays = ModelArrays(
        **columns,
        user_ids=_read_json(open_file, "user_ids.json", list[UserId]),
        item_ids=_read_json(open_file, "item_ids.json", list[ItemId]),
        titles=_read_json(open_file, "titles.json", list[str | None]),
    )
    check_arrays(arrays)
    if _shape_of(arrays) != shape:
        raise DamagedVersion(f"shape.json: {shape}, but the files hold {_shape_of(arrays)}")
    return arrays


def check_arrays(arrays: ModelArrays) -> None:
    """Check everything that an answer relies on.

    Finite factors are not enough: a product of two of them must be finite too. By Cauchy-Schwarz
    no score, and no partial sum of one, is larger than ``max|u| · max|i|``, so that is bounded.

    Raises
    ------
    DamagedVersion
        Naming the array, what was seen and what is allowed.
    """
    for name, (dtype, dimensions) in _DTYPES.items():
        _check_layout(name, getattr(arrays, name), np.dtype(dtype), dimensions)
    _check_counts(arrays)
    _check_ids("user_ids", arrays.user_ids)
    _check_ids("item_ids", arrays.item_ids)
    _check_factors(arrays)
    _check_seen(arrays)
    _require(
        "popularity",
        bool(np.isfinite(arrays.popularity).all() and (arrays.popularity >= 0).all()),
        "a count is negative or not finite",
    )


def _check_layout(name: str, array: Any, dtype: np.dtype[Any], dimensions: int) -> None:
    _require(name, isinstance(array, np.ndarray), f"is a {type(array).__name__}, not an array")
    _require(name, array.dtype == dtype, f"dtype {array.dtype}, {dtype} is needed")
    _require(name, array.ndim == dimensions, f"{array.ndim} dimensions, {dimensions} are needed")
    _require(name, array.flags.forc, "is not contiguous")


def _check_counts(arrays: ModelArrays) -> None:
    users, items = len(arrays.user_ids), len(arrays.item_ids)
    _require("user_ids", users > 0, "there is no user")
    _require("item_ids", 0 < items <= MAX_ITEMS, f"{items} items, 1..{MAX_ITEMS} are allowed")
    rows = {
        "user_factors": users,
        "item_factors": items,
        "seen_indptr": users + 1,
        "popularity": items,
    }
    for name, needed in rows.items():
        seen = len(getattr(arrays, name))
        _require(
            name, seen == needed, f"{seen} rows, {needed} needed for {users} users, {items} items"
        )
    columns, needed = arrays.user_factors.shape[1], arrays.item_factors.shape[1]
    _require("user_factors", columns == needed, f"{columns} factors, item_factors has {needed}")
    titles = len(arrays.titles)
    _require("titles", titles == items, f"{titles} titles for {items} items")


def _check_ids(name: str, ids: list[Any]) -> None:
    seen: set[Any] = set()
    for piece in pieces(ids):
        for kind in set(map(type, piece)) - {int, str}:
            wrong = next(one for one in piece if type(one) is kind)
            _require(name, False, f"{wrong!r} is not an integer or a string")
        seen.update(piece)
    _require(name, len(seen) == len(ids), f"{len(ids) - len(seen)} ids occur twice")


def _check_factors(arrays: ModelArrays) -> None:
    largest = {}
    for name in ("user_factors", "item_factors"):
        factors = getattr(arrays, name)
        norms = np.sqrt(np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
        largest[name] = float(norms.max())
        _require(name, bool(np.isfinite(norms).all()), "holds values that are not finite")
        _require(name, largest[name] > 0, "is all zeros")
    bound = largest["user_factors"] * largest["item_factors"]
    _require(
        "user_factors",
        bound < float(np.finfo(np.float32).max) / 2,
        f"times item_factors reaches {bound:.3g}, too large for float32 scores",
    )


def _check_seen(arrays: ModelArrays) -> None:
    indptr, seen, items = arrays.seen_indptr, arrays.seen_items, len(arrays.item_ids)
    _require(
        "seen_indptr",
        bool(indptr[0] == 0 and indptr[-1] == len(seen) and (np.diff(indptr) >= 0).all()),
        f"must rise from 0 to {len(seen)}, the length of seen_items",
    )
    _require(
        "seen_items",
        not len(seen) or bool(seen.min() >= 0 and seen.max() < items),
        f"names rows outside of 0..{items - 1}",
    )


def _require(name: str, holds: bool, complaint: str) -> None:
    if not holds:
        raise DamagedVersion(f"{name}: {complaint}")


def _shape_of(arrays: ModelArrays) -> _Shape:
    users, factors = arrays.user_factors.shape
    return _Shape(FORMAT, users, len(arrays.item_factors), factors, len(arrays.seen_items))


class _Header(NamedTuple):
    """What a ``.npy`` file says of itself; ``offset`` is where its numbers begin, in bytes."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    offset: int


def _read_array(open_file: OpenFile, name: str) -> npt.NDArray[Any]:
    try:
        with open_file(name) as file:
            length, header = os.fstat(file.fileno()).st_size, _read_header(file, name)
            claimed = header.offset + math.prod(header.shape) * header.dtype.itemsize
            _require(name, length == claimed, f"{length} bytes, its header claims {claimed}")
            mapped: npt.NDArray[Any] = np.memmap(
                file, header.dtype, "r", header.offset, header.shape, header.order
            )
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise DamagedVersion(f"{name}: {error}") from error
    return np.asarray(mapped)  # a plain view: slices of the memmap class cost ten times as much


def _read_header(file: BufferedReader, name: str) -> _Header:
    """Read a header, in exact integers, before anything relies on it."""
    version = np.lib.format.read_magic(file)
    _require(name, version == (1, 0), f".npy version {version}, (1, 0) is needed")
    (length,) = struct.unpack("<H", file.read(2))
    header = _HEADER.fullmatch(file.read(length))
    if header is None:
        raise DamagedVersion(f"{name}: its header is not as numpy writes it")
    return _Header(
        np.dtype(header["dtype"].decode()),
        tuple(int(number) for number in header["shape"].split(b",") if number.strip()),
        "F" if header["fortran"] == b"True" else "C",
        file.tell(),
    )


_NUMBER: Final = rb"(?:0|[1-9][0-9]{0,18})"
_HEADER: Final = re.compile(
    rb"\{'descr': '(?P<dtype><[fi][48])', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>" + _NUMBER + rb",(?: " + _NUMBER + rb")?)\), \} *\n"
)
"""A header of one of our arrays. Numpy's own parser is lenient, and raises whatever it likes."""

Document = TypeVar("Document")


def _read_json(open_file: OpenFile, name: str, kind: type[Document]) -> Document:
    try:
        with open_file(name) as file:
            return msgspec.json.decode(file.read(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedVersion(f"{name}: {error}") from error
