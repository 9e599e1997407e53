"""The artifact: read back as written, and refused when it holds what must never be served."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from registry.catalogue.item_labels import labelled
from registry.errors import DamagedVersion
from registry.scoring.model_arrays import MAX_ITEMS, ModelArrays, check_arrays
from registry.versions.artifact_format import files_in, read_artifact, write_artifact
from tests.unit.registry.builders import some_arrays

FILES = [
    "item_factors.npy",
    "item_ids.json",
    "popularity.npy",
    "seen_indptr.npy",
    "seen_items.npy",
    "shape.json",
    "titles.json",
    "user_factors.npy",
    "user_ids.json",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(some_arrays(), tmp_path / "als")
    return tmp_path / "als"


def refusal_of(read: Callable[[], object]) -> str:
    with pytest.raises(DamagedVersion) as refused:
        read()
    return str(refused.value)


def changed(**fields: Any) -> ModelArrays:
    return dataclasses.replace(some_arrays(), **fields)


def with_value(name: str, position: Any, value: float) -> ModelArrays:
    array = getattr(some_arrays(), name).copy()
    array[position] = value
    return changed(**{name: array})


def assert_same(left: ModelArrays, right: ModelArrays) -> None:
    assert (left.learned is None) == (right.learned is None)
    for field in dataclasses.fields(ModelArrays):
        if field.name == "learned":
            continue
        first, other = getattr(left, field.name), getattr(right, field.name)
        if field.name == "labels":
            assert (first is None) == (other is None)
        elif isinstance(first, np.ndarray):
            assert first.dtype == other.dtype
            np.testing.assert_array_equal(first, other)
        else:
            assert [(type(value), value) for value in first] == [(type(v), v) for v in other]


def test_it_reads_back_as_it_was_written(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert_same(read_artifact(files_in(folder)), some_arrays())


def test_labels_have_files_of_their_own_that_are_read_where_they_are(tmp_path: Path) -> None:
    items = [{"genre": ["Drama", "Crime"]}, {}, {"région": ["eu"]}, *[{}] * 4]
    write_artifact(changed(labels=labelled(items)), tmp_path)
    extra = ["label_ids.npy", "label_indptr.npy", "label_table.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, *extra])
    assert_same(read_artifact(files_in(tmp_path)), some_arrays())  # as the release before reads it
    read = read_artifact(files_in(tmp_path), with_labels=True).labels
    assert read is not None
    assert [read.of(row) for row in range(3)] == [{"genre": ["Crime", "Drama"]}, {}, items[2]]


def test_labels_of_another_number_of_items_are_refused(tmp_path: Path) -> None:
    assert "label_indptr" in refusal_of(
        lambda: write_artifact(changed(labels=labelled([{}])), tmp_path)
    )


def test_ids_keep_their_json_type(tmp_path: Path) -> None:
    ids: list[int | str] = [5, "5", -1, "", 'Zoë \u2028 "quoted"', 2**70, "0"]
    arrays = some_arrays(users=7, user_ids=ids, item_ids=ids, titles=[None, "", *"abcde"])
    write_artifact(arrays, tmp_path)
    assert_same(read_artifact(files_in(tmp_path)), arrays)


def test_nobody_having_seen_anything_is_fine(tmp_path: Path) -> None:
    arrays = changed(seen_indptr=np.zeros(6, np.int64), seen_items=np.empty(0, np.int32))
    write_artifact(arrays, tmp_path)
    assert_same(read_artifact(files_in(tmp_path)), arrays)


def test_arrays_are_read_only_memory_maps(folder: Path) -> None:
    factors = read_artifact(files_in(folder)).item_factors
    assert isinstance(factors.base, np.memmap)
    assert factors.flags.f_contiguous  # as scoring reads them
    assert factors.flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        factors[0, 0] = 1


# --- arrays that must never be served ---------------------------------------------------------

HUGE = float(np.finfo(np.float32).max)

BAD_ARRAYS: dict[str, tuple[str, Callable[[], ModelArrays]]] = {
    "swapped matrices": (
        "user_factors",
        lambda: changed(
            user_factors=some_arrays().item_factors, item_factors=some_arrays().user_factors
        ),
    ),
    "transposed matrix": (
        "item_factors",
        lambda: changed(item_factors=some_arrays().item_factors.T.copy()),
    ),
    "a view with holes": (
        "item_factors",
        lambda: changed(item_factors=np.repeat(some_arrays().item_factors, 2, axis=0)[::2]),
    ),
    "doubles": ("user_factors", lambda: changed(user_factors=np.ones((5, 3)))),
    "foreign byte order": (
        "user_factors",
        lambda: changed(user_factors=some_arrays().user_factors.astype(">f4")),
    ),
    "no array": ("user_factors", lambda: changed(user_factors=[[1.0]])),
    "one dimension": ("item_factors", lambda: changed(item_factors=np.ones(7, np.float32))),
    "factors that do not fit": (
        "user_factors",
        lambda: changed(user_factors=np.ones((5, 4), np.float32)),
    ),
    "no factors": (
        "user_factors",
        lambda: changed(
            user_factors=np.ones((5, 0), np.float32), item_factors=np.ones((7, 0), np.float32)
        ),
    ),
    "NaN in users": ("user_factors", lambda: with_value("user_factors", (4, 2), np.nan)),
    "NaN in items": ("item_factors", lambda: with_value("item_factors", (0, 0), np.nan)),
    "infinity": ("item_factors", lambda: with_value("item_factors", (6, 1), -np.inf)),
    "scores that overflow": ("user_factors", lambda: with_value("user_factors", (0, 0), HUGE)),
    "all zeros": ("item_factors", lambda: changed(item_factors=np.zeros((7, 3), np.float32))),
    "too few titles": ("titles", lambda: changed(titles=[None])),
    "user twice": ("user_ids", lambda: changed(user_ids=[1, 2, 3, 4, 1])),
    "item twice": ("item_ids", lambda: changed(item_ids=["a", *"abcdef"])),
    "bool id": ("user_ids", lambda: changed(user_ids=[True, 2, 3, 4, 5])),
    "no id": ("user_ids", lambda: changed(user_ids=[None, 2, 3, 4, 5])),
    "float id": ("user_ids", lambda: changed(user_ids=[1.0, 2, 3, 4, 5])),
    "NumPy id": ("user_ids", lambda: changed(user_ids=list(np.arange(5)))),
    "one user too few": ("user_factors", lambda: changed(user_ids=[1, 2, 3, 4])),
    "indptr too short": ("seen_indptr", lambda: changed(seen_indptr=np.zeros(5, np.int64))),
    "indptr not from 0": ("seen_indptr", lambda: with_value("seen_indptr", 0, 1)),
    "indptr past the end": ("seen_indptr", lambda: with_value("seen_indptr", 5, 11)),
    "indptr falls": ("seen_indptr", lambda: with_value("seen_indptr", 2, 9)),
    "indptr negative": ("seen_indptr", lambda: with_value("seen_indptr", 1, -1)),
    "seen past the end": ("seen_items", lambda: with_value("seen_items", 0, 7)),
    "seen negative": ("seen_items", lambda: with_value("seen_items", 9, -1)),
    "negative count": ("popularity", lambda: with_value("popularity", 0, -1)),
    "NaN count": ("popularity", lambda: with_value("popularity", 0, np.nan)),
    "popularity of other length": ("popularity", lambda: changed(popularity=np.ones(6))),
    "no users": (
        "user_ids",
        lambda: changed(
            user_ids=[],
            user_factors=np.ones((0, 3), np.float32),
            seen_indptr=np.zeros(1, np.int64),
            seen_items=np.empty(0, np.int32),
        ),
    ),
    "no items": (
        "item_ids",
        lambda: changed(
            item_ids=[],
            titles=[],
            item_factors=np.ones((0, 3), np.float32),
            popularity=np.empty(0),
            seen_indptr=np.zeros(6, np.int64),
            seen_items=np.empty(0, np.int32),
        ),
    ),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused_and_named_and_nothing_is_written(case: str, tmp_path: Path) -> None:
    name, make = BAD_ARRAYS[case]
    assert refusal_of(lambda: check_arrays(make())).startswith(f"{name}: ")
    refusal_of(lambda: write_artifact(make(), tmp_path / "als"))
    assert not (tmp_path / "als").exists()


def test_the_bound_on_items_is_where_the_top_k_would_overflow() -> None:
    assert MAX_ITEMS * 100 < 2**31 <= (MAX_ITEMS + 1) * 100


# --- files that were damaged ------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in refusal_of(lambda: read_artifact(files_in(folder)))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_a_truncated_file_is_named(folder: Path, name: str, kept: int) -> None:
    payload = (folder / name).read_bytes()
    (folder / name).write_bytes(payload[:kept])
    if payload[:kept] != payload:
        assert name in refusal_of(lambda: read_artifact(files_in(folder)))


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".npy")])
def test_bytes_after_the_array_are_refused(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\0")
    assert name in refusal_of(lambda: read_artifact(files_in(folder)))


class Marker:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_is_refused_and_never_loaded(folder: Path, tmp_path: Path) -> None:
    array = np.array([[Marker(tmp_path / "run")]], dtype=object)
    np.save(folder / "user_factors.npy", array, allow_pickle=True)
    assert "user_factors.npy" in refusal_of(lambda: read_artifact(files_in(folder)))
    assert not (tmp_path / "run").exists()
    np.load(folder / "user_factors.npy", allow_pickle=True)  # the trap does spring
    assert (tmp_path / "run").exists()


def test_an_archive_of_arrays_is_refused(folder: Path) -> None:
    np.savez(folder / "x.npz", a=np.ones(3))
    (folder / "x.npz").rename(folder / "popularity.npy")
    assert "popularity.npy" in refusal_of(lambda: read_artifact(files_in(folder)))


def write_header(path: Path, descr: object, shape: object, fortran: bool = False) -> None:
    header = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))


@pytest.mark.parametrize(
    "shape",
    [
        (10**12, 64),
        (2**62, 2**62),
        (10**30,),
        (-1, 3),
        (-(2**40), -(2**40)),
        (0, 10**18),
        (True, 3),
        (1.5,),
        ("5",),
        5,
        None,
        (1,) * 70,
    ],
)
@pytest.mark.parametrize("descr", ["<f4", "|V0", "|O", "<U1000000000", [("a", "<f4", (10**9,))], 7])
def test_an_absurd_header_is_an_error_and_allocates_nothing(
    folder: Path, shape: object, descr: object
) -> None:
    write_header(folder / "user_factors.npy", descr, shape)
    assert "user_factors" in refusal_of(lambda: read_artifact(files_in(folder)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 127), value=st.integers(0, 255))
@example(position=10, value=ord("["))
def test_no_change_of_a_header_raises_anything_but_a_damaged_version(
    folder: Path, position: int, value: int
) -> None:
    path = folder / "item_factors.npy"
    original = path.read_bytes()
    try:
        path.write_bytes(original[:position] + bytes([value]) + original[position + 1 :])
        try:
            read = read_artifact(files_in(folder))
        except DamagedVersion:
            return
        assert_same(read, some_arrays())
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"{}", b"[" * 100_000, b"[1.0]", b"[true]", b"[null]"]
)
def test_ids_of_another_form_are_refused(folder: Path, payload: bytes) -> None:
    (folder / "user_ids.json").write_bytes(payload)
    assert "user_ids.json" in refusal_of(lambda: read_artifact(files_in(folder)))


@pytest.mark.parametrize("field", ["users", "items", "factors", "seen"])
def test_a_recorded_shape_that_differs_from_the_files_is_refused(folder: Path, field: str) -> None:
    shape = json.loads((folder / "shape.json").read_bytes())
    (folder / "shape.json").write_text(json.dumps(shape | {field: shape[field] + 1}))
    assert "shape.json" in refusal_of(lambda: read_artifact(files_in(folder)))


def test_another_format_is_refused_with_both_numbers(folder: Path) -> None:
    shape = json.loads((folder / "shape.json").read_bytes())
    (folder / "shape.json").write_text(json.dumps(shape | {"format": 2}))
    assert "format 2, this program reads 1" in refusal_of(lambda: read_artifact(files_in(folder)))
