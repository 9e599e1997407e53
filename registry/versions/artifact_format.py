"""The artifact: how the arrays of one model version are stored in a folder.

Knows the files' names and formats. What the arrays must be: `registry.scoring.model_arrays`. Must
not know versions, manifests or scoring. Arrays are ``.npy`` files without pickles, memory-mapped on
reading, so the workers on one machine share one copy; ids and titles are JSON, which keeps the ids'
types.

Format 2 is format 1 plus further files: ``learned.json`` and the arrays of
:mod:`registry.fold_in.learned_cells`. So the previous release reads it as format 1. This release
also reads format 1, whose fresh interactions only hide seen items. The further arrays are read for
single users only: none of their pages stays in memory.

Labels and undo events have files of their own, which a version without them does not have: a
release that does not know them does not open these.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from registry.catalogue.item_labels import ItemLabels
from registry.errors import DamagedVersion
from registry.fold_in.learned_cells import DTYPES as LEARNED_DTYPES
from registry.fold_in.learned_cells import LearnedCells, columns_of, from_columns
from registry.ids import ItemId, UserId
from registry.scoring.model_arrays import DTYPES, ModelArrays, check_arrays, require
from registry.undo_events import NOTHING_UNDONE, UndoneEvents

FORMAT: Final = 1
"""Of ``shape.json``. Raised when a reader of this format would misread the next one; any other is
refused."""

LEARNED_FORMAT: Final = 2
LEARNED: Final = "learned.json"
"""The file whose presence makes an artifact one of format 2."""


class _Shape(Struct, frozen=True, forbid_unknown_fields=True):
    """``shape.json``: what the writer wrote, for the reader to compare with what it finds."""

    format: int
    users: int
    items: int
    factors: int
    seen: int


class _Learned(Struct, frozen=True, forbid_unknown_fields=True):
    """``learned.json``: what the further arrays are of."""

    format: int
    kinds: tuple[str, ...]
    newest: float
    mean_lengths: dict[str, float]
    forgotten: list[tuple[UserId, float]]


def write_artifact(arrays: ModelArrays, folder: Path) -> None:
    """Write `arrays` into `folder`, which is made if it is missing.

    Raises
    ------
    DamagedVersion
        If the arrays fail :func:`check_arrays`; nothing is written then.
    """
    check_arrays(arrays)
    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: getattr(arrays, name) for name in DTYPES}
    columns["item_factors"] = np.asfortranarray(arrays.item_factors)  # as scoring reads them
    for name, array in columns.items():
        _save(folder, name, array)
    documents: dict[str, object] = {
        "user_ids": arrays.user_ids,
        "item_ids": arrays.item_ids,
        "titles": arrays.titles,
        "shape": _shape_of(arrays),
    }
    if arrays.learned is not None:
        learned = arrays.learned
        for name, array in columns_of(learned).items():
            _save(folder, name, array)
        if len(learned.undone.user):
            undone: list[npt.NDArray[Any]] = [*learned.undone]
            for name, array in zip(UNDONE_FILES, undone, strict=True):
                _save(folder, name, array)
        documents["learned"] = _Learned(
            LEARNED_FORMAT,
            learned.kinds,
            learned.newest,
            {kind: known.mean_length for kind, known in learned.bm25.items()},
            list(learned.forgotten.items()),
        )
    if arrays.labels is not None:
        _save(folder, "label_indptr", arrays.labels.indptr)
        _save(folder, "label_ids", arrays.labels.ids)
        documents["label_table"] = arrays.labels.table
    for name, document in documents.items():
        (folder / f"{name}.json").write_bytes(msgspec.json.encode(document))


def _save(folder: Path, name: str, array: npt.NDArray[Any]) -> None:
    np.save(folder / f"{name}.npy", array, allow_pickle=False)


OpenFile: TypeAlias = Callable[[str], BufferedReader]
"""Opens one file of an artifact by its name, at its beginning."""


def files_in(folder: Path) -> OpenFile:
    """Return what opens the files of the artifact in `folder`."""
    return lambda name: (folder / name).open("rb")


LABELS: Final = "label_table.json"
"""The file whose presence shows that an artifact has labels."""

UNDONE_FILES: Final = tuple(f"undone_{field}s" for field in UndoneEvents._fields)
UNDONE: Final = f"{UNDONE_FILES[0]}.npy"
"""The file whose presence shows that an artifact has undo events."""

FURTHER: Final = {"with_learned": LEARNED, "with_undone": UNDONE, "with_labels": LABELS}
"""Which file shows what :func:`read_artifact` is to read beyond format 1, by its arguments."""


def read_artifact(
    open_file: OpenFile,
    *,
    with_learned: bool = False,
    with_undone: bool = False,
    with_labels: bool = False,
) -> ModelArrays:
    """Read and check what :func:`write_artifact` wrote; the arrays are read-only memory maps.

    Every file is opened once, so what was verified when it was opened is what is mapped: nobody
    can put another in its place in between, and removing it takes nothing away from the map. An
    array is mapped only if its file is as long as the header claims, so that no header can make
    the reader allocate.

    Parameters
    ----------
    open_file
        Such as :func:`files_in` returns.
    with_learned
        There is a file `LEARNED`, so the artifact is of format 2.
    with_undone
        There is a file `UNDONE` as well.
    with_labels
        There is a file `LABELS`.

    Raises
    ------
    DamagedVersion
        Naming the file that is missing or unreadable, or the array that is not as it must be.
    """
    shape = _read_json(open_file, "shape.json", _Shape)
    if shape.format != FORMAT:
        raise DamagedVersion(f"shape.json: format {shape.format}, this program reads {FORMAT}")
    columns: dict[str, Any] = {name: _read_array(open_file, f"{name}.npy") for name in DTYPES}
    arrays = ModelArrays(
        **columns,
        user_ids=_read_json(open_file, "user_ids.json", list[UserId]),
        item_ids=_read_json(open_file, "item_ids.json", list[ItemId]),
        titles=_read_json(open_file, "titles.json", list[str | None]),
        learned=_read_learned(open_file, with_undone) if with_learned else None,
        labels=_read_labels(open_file) if with_labels else None,
    )
    check_arrays(arrays)
    if arrays.learned is not None:
        for array in (*columns_of(arrays.learned).values(), *arrays.learned.undone):
            _unload(array)
    if _shape_of(arrays) != shape:
        raise DamagedVersion(f"shape.json: {shape}, but the files hold {_shape_of(arrays)}")
    return arrays


def _read_learned(open_file: OpenFile, with_undone: bool) -> LearnedCells:
    learned = _read_json(open_file, LEARNED, _Learned)
    if learned.format != LEARNED_FORMAT:
        raise DamagedVersion(
            f"{LEARNED}: format {learned.format}, this program reads {LEARNED_FORMAT}"
        )
    columns = {name: _read_array(open_file, f"{name}.npy") for name in LEARNED_DTYPES}
    undone = NOTHING_UNDONE
    if with_undone:
        undone = UndoneEvents(*(_read_array(open_file, f"{name}.npy") for name in UNDONE_FILES))
    found = from_columns(
        columns, learned.kinds, learned.newest, learned.mean_lengths, dict(learned.forgotten)
    )
    return replace(found, undone=undone)


def _unload(array: npt.NDArray[Any]) -> None:
    """Let go of the pages of a mapped array, which come back when they are read."""
    if isinstance(array.base, np.memmap) and isinstance(array.base.base, mmap.mmap):
        array.base.base.madvise(mmap.MADV_DONTNEED)


def _read_labels(open_file: OpenFile) -> ItemLabels:
    return ItemLabels(
        _read_json(open_file, LABELS, list[tuple[str, str]]),
        _read_array(open_file, "label_indptr.npy"),
        _read_array(open_file, "label_ids.npy"),
    )


def _shape_of(arrays: ModelArrays) -> _Shape:
    users, factors = arrays.user_factors.shape
    return _Shape(FORMAT, users, len(arrays.item_factors), factors, len(arrays.seen_items))


class _Header(NamedTuple):
    """What the header of a ``.npy`` file says; ``offset`` is where its numbers begin, in bytes."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    offset: int


def _read_array(open_file: OpenFile, name: str) -> npt.NDArray[Any]:
    try:
        with open_file(name) as file:
            length, header = os.fstat(file.fileno()).st_size, _read_header(file, name)
            claimed = header.offset + math.prod(header.shape) * header.dtype.itemsize
            require(name, length == claimed, f"{length} bytes, its header claims {claimed}")
            mapped: npt.NDArray[Any] = np.memmap(
                file, header.dtype, "r", header.offset, header.shape, header.order
            )
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise DamagedVersion(f"{name}: {error}") from error
    return np.asarray(mapped)  # a plain view: slices of the memmap class cost ten times as much


def _read_header(file: BufferedReader, name: str) -> _Header:
    """Read a header, in exact integers, before anything relies on it."""
    version = np.lib.format.read_magic(file)
    require(name, version == (1, 0), f".npy version {version}, (1, 0) is needed")
    (length,) = struct.unpack("<H", file.read(2))
    header = _HEADER.fullmatch(file.read(length))
    if header is None:
        raise DamagedVersion(f"{name}: its header is not one that numpy writes")
    return _Header(
        np.dtype(header["dtype"].decode()),
        tuple(int(number) for number in header["shape"].split(b",") if number.strip()),
        "F" if header["fortran"] == b"True" else "C",
        file.tell(),
    )


_NUMBER: Final = rb"(?:0|[1-9][0-9]{0,18})"
_HEADER: Final = re.compile(
    rb"\{'descr': '(?P<dtype><[fi][48]|\|i1)', 'fortran_order': (?P<fortran>True|False), "
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
