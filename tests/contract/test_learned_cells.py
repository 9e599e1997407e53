"""Format 2: what later events are merged with lies beside format 1, mapped, and out of memory."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import re
import subprocess
import sys
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.workers import ROOT

from registry.bm25_statistics import SnapshotBm25
from registry.catalogue.availability import Withdrawals
from registry.errors import DamagedVersion
from registry.fold_in.learned_cells import (
    FurtherEvents,
    LearnedCells,
    check_learned,
    columns_of,
)
from registry.scoring.model_arrays import ModelArrays
from registry.undo_events import NOTHING_UNDONE, UndoneEvents
from registry.versions.artifact_format import files_in, read_artifact, write_artifact
from registry.versions.store import Store
from tests.unit.registry.builders import a_description, a_request, some_arrays

CELLS, ITEMS = 10, 7
UNDONE = UndoneEvents(
    np.array([0, 4, 4]), np.array([6, 2, 3], np.int32), np.array([1, 0, 0], np.int8),
    np.array([7.0, 8.5, 9.0]),
)  # fmt: skip


def some_learned(**given: Any) -> LearnedCells:
    fields: dict[str, Any] = {
        "kinds": ("watch", "play"),
        "kind": np.array([0, 1] * 5, np.int8),
        "value": np.arange(CELLS, dtype=np.float32),
        "time": np.arange(CELLS, dtype=np.int32),
        "further": FurtherEvents(
            np.array([1, 1, 9]),
            np.array([0, 0, 0], np.int8),
            np.array([1, 2, 3], np.float32),
            np.array([4, 5, 6], np.int32),
        ),
        "newest": 9.25,
        "bm25": {"play": SnapshotBm25(np.arange(ITEMS) / 3, 1.5)},
        "forgotten": {5: 1.5, "5": 2.0},
        "undone": UNDONE,
    }
    return LearnedCells(**fields | given)


def with_learned(**given: Any) -> ModelArrays:
    return dataclasses.replace(some_arrays(), learned=some_learned(**given))


def refusal_of(read: Callable[[], object]) -> str:
    with pytest.raises(DamagedVersion) as refused:
        read()
    return str(refused.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(with_learned(), tmp_path / "als")
    return tmp_path / "als"


def test_it_reads_back_as_it_was_written(folder: Path) -> None:
    learned = read_artifact(files_in(folder), with_learned=True, with_undone=True).learned

    assert learned is not None
    for read, written in zip(learned.undone, UNDONE, strict=True):
        assert read.dtype == written.dtype
        np.testing.assert_array_equal(read, written)
    for name, column in columns_of(some_learned()).items():
        assert columns_of(learned)[name].dtype == column.dtype
        np.testing.assert_array_equal(columns_of(learned)[name], column)
    for name in ("kinds", "newest", "forgotten"):
        assert getattr(learned, name) == getattr(some_learned(), name)
    assert [(kind, known.mean_length) for kind, known in learned.bm25.items()] == [("play", 1.5)]
    assert isinstance(learned.kind.base, np.memmap)


def test_times_of_parts_of_seconds_are_kept_as_they_are(tmp_path: Path) -> None:
    time = np.arange(CELLS) + 0.1
    write_artifact(with_learned(time=time), tmp_path)
    learned = read_artifact(files_in(tmp_path), with_learned=True).learned

    assert learned is not None
    assert learned.time.tolist() == time.tolist()


def test_a_user_gets_what_he_took_back_as_well(folder: Path) -> None:
    arrays = read_artifact(files_in(folder), with_learned=True, with_undone=True)
    assert arrays.learned is not None

    found = arrays.learned.events_of(np.array([4, -1, 0]), arrays.seen_indptr, arrays.seen_items)

    undone = np.isnan(found.value)
    assert found.user[undone].tolist() == [0, 0, 2]
    assert found.item[undone].tolist() == [2, 3, 6]
    assert found.time[undone].tolist() == [8.5, 9.0, 7.0]


def test_a_version_in_which_nothing_was_undone_has_no_file_for_it(tmp_path: Path) -> None:
    write_artifact(with_learned(undone=NOTHING_UNDONE), tmp_path)

    assert not list(tmp_path.glob("undone*"))


def test_a_user_gets_his_events_of_all_kinds(folder: Path) -> None:
    arrays = read_artifact(files_in(folder), with_learned=True)
    assert arrays.learned is not None

    found = arrays.learned.events_of(np.array([4, -1, 0]), arrays.seen_indptr, arrays.seen_items)

    assert found.user.tolist() == [0, 0, 2, 2, 0, 2, 2]
    assert found.value.tolist() == [8, 9, 0, 1, 3, 1, 2]
    assert found.item.tolist() == arrays.seen_items[[8, 9, 0, 1, 9, 1, 1]].tolist()


FURTHER = some_learned().further
BAD: dict[str, tuple[str, Callable[[], LearnedCells]]] = {
    "a kind twice": ("kinds", lambda: some_learned(kinds=("watch", "watch"))),
    "a kind that is none": ("learned_kinds", lambda: some_learned(kinds=("watch",), bm25={})),
    "a negative kind": (
        "further_kinds",
        lambda: some_learned(further=FURTHER._replace(kind=np.array([0, -1, 0], np.int8))),
    ),
    "too few values": ("learned", lambda: some_learned(value=np.zeros(9, np.float32))),
    "a value that is no number": (
        "learned_values",
        lambda: some_learned(value=np.full(CELLS, np.nan, np.float32)),
    ),
    "an infinite time": ("learned_times", lambda: some_learned(time=np.full(CELLS, np.inf))),
    "a cell past the end": (
        "further_cells",
        lambda: some_learned(further=FURTHER._replace(cell=np.array([1, 1, 10]))),
    ),
    "cells that fall": (
        "further_cells",
        lambda: some_learned(further=FURTHER._replace(cell=np.array([1, 0, 9]))),
    ),
    "doubles": ("learned_values", lambda: some_learned(value=np.zeros(CELLS))),
    "items of another version": (
        "bm25",
        lambda: some_learned(bm25={"play": SnapshotBm25(np.zeros(6))}),
    ),
    "statistics of no kind": (
        "bm25",
        lambda: some_learned(bm25={"buy": SnapshotBm25(np.zeros(ITEMS))}),
    ),
    "statistics that are no numbers": (
        "bm25",
        lambda: some_learned(bm25={"play": SnapshotBm25(np.full(ITEMS, np.inf))}),
    ),
    "no newest time": ("newest", lambda: some_learned(newest=np.nan)),
    "undone users that fall": (
        "undone_users",
        lambda: some_learned(undone=UNDONE._replace(user=np.array([4, 0, 4]))),
    ),
    "an undone item past the end": (
        "undone_items",
        lambda: some_learned(undone=UNDONE._replace(item=np.array([6, 7, 3], np.int32))),
    ),
    "undone times as whole numbers": (
        "undone_times",
        lambda: some_learned(undone=UNDONE._replace(time=np.array([7, 8, 9]))),
    ),
    "a forget for ever": ("forgotten", lambda: some_learned(forgotten={1: np.inf})),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_refused_and_named_and_nothing_is_written(case: str, tmp_path: Path) -> None:
    name, make = BAD[case]

    assert refusal_of(lambda: check_learned(make(), CELLS, ITEMS)).startswith(f"{name}: ")
    bad = dataclasses.replace(some_arrays(), learned=make())
    refusal_of(lambda: write_artifact(bad, tmp_path / "als"))
    assert not (tmp_path / "als").exists()


def test_another_format_and_other_rows_are_refused(folder: Path) -> None:
    path = folder / "learned.json"
    document = json.loads(path.read_bytes())
    for change, complaint in (
        ({"format": 3}, "format 3, this program reads 2"),
        ({"mean_lengths": {}}, "bm25_items: 1 rows, not 0"),
        ({"more": 1}, "learned.json"),
    ):
        path.write_text(json.dumps(document | change))
        assert complaint in refusal_of(lambda: read_artifact(files_in(folder), with_learned=True))


@pytest.mark.parametrize("name", ["learned.json", "learned_kinds.npy", "bm25_items.npy"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in refusal_of(lambda: read_artifact(files_in(folder), with_learned=True))


def test_the_store_publishes_verifies_and_opens_both_formats(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for arrays in (some_arrays(), with_learned()):
        version = store.publish(arrays, a_description()).version

        store.verify(version)
        assert (store.open(version).learned is None) == (arrays.learned is None)


def test_a_version_leaves_memory_with_its_last_reference(tmp_path: Path) -> None:
    """Not at the next collection: what is loaded is frozen, so the collector never looks at it."""
    store = Store(str(tmp_path))
    for arrays in (some_arrays(), with_learned()):
        model = store.open(store.publish(arrays, a_description()).version)
        model.warm()
        hidden = model.hiding(Withdrawals(frozenset({"film-1"}), 1))
        hidden.recommend([a_request(1), a_request(99)])
        gone = weakref.ref(model), weakref.ref(hidden)
        gc.disable()  # the collector must not be faster by chance
        try:
            del model, hidden
            assert [left() for left in gone] == [None, None]
        finally:
            gc.enable()


def test_the_release_before_serves_format_2_as_format_1(tmp_path: Path) -> None:
    Store(str(tmp_path / "registry")).publish(with_learned(), a_description())
    (wheel,) = (ROOT / "tests/predecessor").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "before")
    program = (
        "import sys; from registry.store import Store; import registry;"
        "store = Store(sys.argv[1]); store.verify('v0.1'); store.open('v0.1').warm();"
        "print(registry.__file__)"
    )

    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "registry")],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "before")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert str(tmp_path / "before") in run.stdout


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells")
def test_after_reading_none_of_its_pages_are_in_memory(tmp_path: Path) -> None:
    cells = 300_000
    arrays = dataclasses.replace(
        some_arrays(),
        seen_indptr=np.array([0, 0, 0, 0, 0, cells]),
        seen_items=np.zeros(cells, np.int32),
        learned=some_learned(
            kind=np.zeros(cells, np.int8),
            value=np.ones(cells, np.float32),
            time=np.zeros(cells, np.int32),
        ),
    )
    write_artifact(arrays, tmp_path)
    read = read_artifact(files_in(tmp_path), with_learned=True)

    assert _resident_kb(tmp_path / "seen_items.npy") > 1000  # the control: it has been checked
    assert _resident_kb(tmp_path / "learned_values.npy") == 0
    assert read.learned is not None
    assert read.learned.value.sum() == cells
    assert _resident_kb(tmp_path / "learned_values.npy") > 1000


def _resident_kb(path: Path) -> int:
    text = Path("/proc/self/smaps").read_text()
    found = re.search(rf"{re.escape(str(path))}\n(?:.*\n)*?Rss: +(\d+) kB", text)
    assert found is not None
    return int(found[1])
