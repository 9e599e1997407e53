"""The store's contract: a version is whole or not there, whoever crashes or publishes beside it.

One class for every kind of location; so far a path and a ``file://`` URL of a local folder. A
further file system joins by one more row in ``LOCATIONS``.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.artifact import write_artifact
from registry.errors import (
    ArtifactError,
    ConfigurationError,
    DamagedVersion,
    RecstreamError,
    UnknownVersion,
)
from registry.manifest import FileEntry, Manifest, decode_manifest, digest, encode_manifest
from registry.store import Store
from tests.unit.registry.builders import a_description, a_request, some_arrays

LOCATIONS: dict[str, Callable[[Path], str]] = {
    "path": str,
    "url": lambda folder: f"file://{folder}",
}


@pytest.fixture(params=LOCATIONS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(LOCATIONS[request.param](tmp_path / "models"))


@pytest.fixture
def folder(store: Store) -> Path:
    """The folder of one published version, v0.1."""
    publish(store)
    return store.root / "v0.1"


def publish(store: Store, **arrays: Any) -> Manifest:
    return store.publish(some_arrays(**arrays), a_description())


def refusal_of(kind: type[RecstreamError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as refused:
        call()
    return str(refused.value)


class TestStore:
    def test_an_empty_or_missing_registry_holds_no_version(self, store: Store) -> None:
        assert (store.versions(), store.latest()) == ([], None)
        store.root.mkdir()
        assert (store.versions(), store.latest()) == ([], None)
        assert "no version" in refusal_of(UnknownVersion, lambda: store.manifest("v0.1"))

    def test_versions_count_up_from_v0_1_by_number_not_by_text(self, store: Store) -> None:
        published = [publish(store).version for _ in range(11)]
        assert published == store.versions() == [f"v0.{minor}" for minor in range(1, 12)]
        assert store.latest() == "v0.11"
        assert (store.root / "latest.txt").read_text() == "v0.11\n"

    def test_the_next_version_stays_in_the_newest_major(self, store: Store) -> None:
        (store.root / "v2.4").mkdir(parents=True)
        assert publish(store).version == "v2.5"

    def test_the_manifest_says_what_the_publisher_said_and_lists_every_file(
        self, store: Store
    ) -> None:
        published = publish(store)
        assert published == store.manifest("v0.1") == store.verify("v0.1")
        for name in a_description().__struct_fields__:
            assert getattr(published, name) == getattr(a_description(), name)
        on_disk = {
            path.relative_to(store.root / "v0.1").as_posix()
            for path in (store.root / "v0.1").rglob("*")
            if path.is_file()
        }
        assert set(published.files) == on_disk - {"meta.json"}
        for name, entry in published.files.items():
            payload = (store.root / "v0.1" / name).read_bytes()
            assert entry == FileEntry(digest(payload), len(payload))

    def test_a_published_version_opens_as_a_model_that_answers(self, store: Store) -> None:
        publish(store)
        model = store.open("v0.1")
        assert (model.version, model.users, model.items) == ("v0.1", 5, 7)
        (answer,) = model.recommend([a_request(1, k=2)])
        assert (len(answer.items), answer.source) == (2, "model")

    def test_publishing_never_touches_an_earlier_version(self, store: Store, folder: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        publish(store, seed=1)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    @pytest.mark.parametrize("name", ["", "..", "../v0.1", "v0.1/als", "latest", "V0.1", "/etc"])
    def test_what_is_no_version_name_is_unknown(
        self, store: Store, folder: Path, name: str
    ) -> None:
        for call in (store.manifest, store.verify, store.open):
            assert repr(name) in refusal_of(UnknownVersion, lambda call=call: call(name))  # type: ignore[misc]

    def test_an_unknown_version_is_refused_with_those_that_exist(
        self, store: Store, folder: Path
    ) -> None:
        message = refusal_of(UnknownVersion, lambda: store.open("v0.9"))
        assert "v0.9" in message
        assert "v0.1" in message.replace("v0.9", "")

    # --- what is not a version -----------------------------------------------------------------

    def test_a_folder_without_a_manifest_is_no_version_and_its_number_is_skipped(
        self, store: Store, folder: Path
    ) -> None:
        write_artifact(some_arrays(), store.root / "v0.2" / "als")
        assert (store.versions(), store.latest()) == (["v0.1"], "v0.1")
        refusal_of(UnknownVersion, lambda: store.open("v0.2"))
        assert publish(store).version == "v0.3"

    def test_other_names_in_the_folder_are_ignored(self, store: Store, folder: Path) -> None:
        for name in ("notes", "v0.x", "v00.2", ".git"):
            (store.root / name).mkdir()
            (store.root / name / "meta.json").write_bytes((folder / "meta.json").read_bytes())
        (store.root / "v0.2").write_text("a file, not a folder")
        assert store.versions() == ["v0.1"]
        refusal_of(UnknownVersion, lambda: store.open("v0.2"))
        assert publish(store).version == "v0.3"

    def test_latest_is_the_newest_version_where_latest_txt_is_missing(
        self, store: Store, folder: Path
    ) -> None:
        (store.root / "latest.txt").unlink()
        assert store.latest() == "v0.1"

    @pytest.mark.parametrize("held", [b"", b"v9", b"\xff\xfe", b"v0.7", b"../v0.1", b"v0.1 v0.2"])
    def test_a_latest_txt_that_names_no_version_is_an_error_not_a_guess(
        self, store: Store, folder: Path, held: bytes
    ) -> None:
        (store.root / "latest.txt").write_bytes(held)
        assert "latest.txt" in refusal_of(DamagedVersion, store.latest)

    def test_a_number_is_not_used_again_after_its_version_was_removed(self, store: Store) -> None:
        publish(store)
        publish(store)
        for path in sorted((store.root / "v0.2").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (store.root / "v0.2").rmdir()
        assert publish(store).version == "v0.3"

    # --- damage --------------------------------------------------------------------------------

    def test_one_flipped_bit_in_any_file_is_found_and_the_file_named(
        self, store: Store, folder: Path
    ) -> None:
        for name in store.manifest("v0.1").files:
            original = (folder / name).read_bytes()
            for position in (0, len(original) // 2, len(original) - 1):
                flipped = bytearray(original)
                flipped[position] ^= 1
                (folder / name).write_bytes(flipped)
                message = refusal_of(DamagedVersion, lambda: store.open("v0.1"))
                assert message.startswith(f"v0.1: {name} has changed")
            (folder / name).write_bytes(original)
        store.open("v0.1")

    def test_a_missing_file_is_named(self, store: Store, folder: Path) -> None:
        (folder / "als" / "titles.json").unlink()
        message = refusal_of(DamagedVersion, lambda: store.verify("v0.1"))
        assert message == "v0.1: als/titles.json is missing"

    def test_an_extra_file_is_named(self, store: Store, folder: Path) -> None:
        (folder / "als" / "more.npy").touch()
        message = refusal_of(DamagedVersion, lambda: store.verify("v0.1"))
        assert message == "v0.1: als/more.npy is not in the manifest"

    def test_a_truncated_file_is_named_with_both_sizes(self, store: Store, folder: Path) -> None:
        path = folder / "als" / "item_factors.npy"
        length = path.stat().st_size
        os.truncate(path, length - 1)
        message = refusal_of(DamagedVersion, lambda: store.verify("v0.1"))
        assert "als/item_factors.npy" in message
        assert f"{length - 1} bytes" in message
        assert f"were {length} " in message

    def test_a_damaged_manifest_is_refused(self, store: Store, folder: Path) -> None:
        (folder / "meta.json").write_bytes((folder / "meta.json").read_bytes()[:-20])
        refusal_of(DamagedVersion, lambda: store.manifest("v0.1"))

    def test_a_version_renamed_by_hand_is_refused(self, store: Store, folder: Path) -> None:
        folder.rename(store.root / "v0.5")
        assert "'v0.1'" in refusal_of(DamagedVersion, lambda: store.open("v0.5"))

    def test_arrays_that_must_not_be_served_are_refused_though_all_checksums_are_right(
        self, store: Store, folder: Path
    ) -> None:
        factors = some_arrays().item_factors
        factors[0, 0] = np.nan
        np.save(folder / "als" / "item_factors.npy", factors)
        sign(folder)
        message = refusal_of(DamagedVersion, lambda: store.open("v0.1"))
        assert message == "v0.1: item_factors: holds values that are not finite"

    def test_a_pickle_is_never_loaded_though_all_checksums_are_right(
        self, store: Store, folder: Path, tmp_path: Path
    ) -> None:
        trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
        np.save(folder / "als" / "popularity.npy", trap, allow_pickle=True)
        sign(folder)
        assert "popularity.npy" in refusal_of(DamagedVersion, lambda: store.open("v0.1"))
        assert not (tmp_path / "sprung").exists()

    def test_bad_arrays_are_refused_before_a_number_is_taken(self, store: Store) -> None:
        swapped = some_arrays(
            user_factors=some_arrays().item_factors, item_factors=some_arrays().user_factors
        )
        message = refusal_of(DamagedVersion, lambda: store.publish(swapped, a_description()))
        assert "user_factors" in message
        assert not store.root.exists()

    # --- failing and crashing publishers -------------------------------------------------------

    def test_a_failing_disk_at_any_sync_leaves_whole_versions_only(
        self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failures = 0
        for step in range(100):
            monkeypatch.setattr(os, "fsync", failing_at(step))
            before = store.versions()
            try:
                publish(store)
                break
            except ArtifactError as error:
                failures += 1
                assert "disk is full" in str(error)  # noqa: PT017
            finally:
                monkeypatch.undo()
            leftovers = {path.name for path in store.root.glob("v*")}
            assert set(store.versions()) == leftovers  # no half version stays behind
            assert store.versions()[: len(before)] == before
            for version in store.versions():
                store.verify(version)
            assert store.latest() in store.versions()
        assert failures > 10
        assert store.latest() == store.versions()[-1]

    def test_a_slow_publisher_does_not_move_latest_back(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        faster: list[str] = []
        fsync = os.fsync

        def overtaken(descriptor: int) -> None:
            fsync(descriptor)
            if not faster:
                faster.append("")
                faster[0] = publish(store).version

        monkeypatch.setattr(os, "fsync", overtaken)
        slower = publish(store).version
        assert (slower, faster, store.latest()) == ("v0.1", ["v0.2"], "v0.2")
        assert store.versions() == ["v0.1", "v0.2"]

    def test_threads_that_publish_at_once_get_a_version_each(self, store: Store) -> None:
        together = threading.Barrier(8)

        def one(seed: int) -> str:
            together.wait(timeout=10)
            return publish(store, seed=seed).version

        with ThreadPoolExecutor(8) as pool:
            published = list(pool.map(one, range(8)))
        assert sorted(published) == sorted(store.versions()) == [f"v0.{n}" for n in range(1, 9)]
        assert store.latest() == "v0.8"
        for seed, version in enumerate(published):
            arrays = store.open(version)._arrays
            np.testing.assert_array_equal(arrays.item_factors, some_arrays(seed=seed).item_factors)

    def test_an_unwritable_registry_is_an_artifact_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = Store(str(tmp_path / "file" / "models"))
        assert "could not publish" in refusal_of(ArtifactError, lambda: publish(store))


@pytest.mark.parametrize("url", ["s3://bucket/models", "memory://models", "nonsense://x"])
def test_another_file_system_is_a_configuration_error_that_names_the_variable(url: str) -> None:
    message = refusal_of(ConfigurationError, lambda: Store(url))
    assert "MODEL_REGISTRY" in message
    assert url in message


# --- real processes -----------------------------------------------------------------------------

CRASH_AT_EVERY_STEP = """
import json, os, shutil, sys
from pathlib import Path
from registry.store import Store
from tests.unit.registry.builders import a_description, some_arrays

STEPS = ("open", "os.mkdir", "os.rename")  # every system call by which publishing changes the disk
left = 0
armed = False

def die_at_the_step(event, arguments):
    global left
    if armed and event in STEPS and str(arguments[0]).startswith(str(root)):
        left -= 1
        if left < 0:
            os._exit(9)  # no clean-up, as a SIGKILL

sys.addaudithook(die_at_the_step)
base = Path(sys.argv[1])
Store(str(base / "start")).publish(some_arrays(), a_description())
seen = []
for step in range(200):
    root = base / f"crash-{step}"
    shutil.copytree(base / "start", root)
    child = os.fork()
    if not child:
        left, armed = step, True
        Store(str(root)).publish(some_arrays(seed=1), a_description())
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    store = Store(str(root))
    versions, latest = store.versions(), store.latest()
    for version in versions:
        store.verify(version)
    after = store.publish(some_arrays(seed=2), a_description()).version
    seen.append([status, versions, latest, after, store.latest()])
    if status == 0:
        break
print(json.dumps(seen))
"""

PUBLISH = """
import sys
from registry.store import Store
from tests.unit.registry.builders import a_description, some_arrays

store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for seed in range(int(sys.argv[2])):
    print(store.publish(some_arrays(seed=seed), a_description()).version, flush=True)
"""

ROOT = Path(__file__).parents[2]


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_crash_at_any_step_leaves_whole_versions_only_and_the_next_one_publishes(
    tmp_path: Path,
) -> None:
    with start(CRASH_AT_EVERY_STEP, tmp_path) as process:
        output, _ = process.communicate(timeout=60)
    seen = json.loads(output)
    assert [status for status, *_ in seen] == [9] * (len(seen) - 1) + [0]
    assert len(seen) > 15
    visible = 0
    for _, versions, latest, after, latest_after in seen:
        assert versions in (["v0.1"], ["v0.1", "v0.2"])
        assert latest in versions
        assert after == latest_after
        assert after in ("v0.2", "v0.3")
        assert len(versions) >= visible  # once a step has made it visible, later steps keep it
        visible = len(versions)
    assert [seen[0][1], seen[0][3]] == [["v0.1"], "v0.2"]  # nothing was claimed yet
    assert seen[-1][1:] == [["v0.1", "v0.2"], "v0.2", "v0.3", "v0.3"]


def test_processes_that_publish_at_once_get_different_versions_and_latest_only_rises(
    tmp_path: Path,
) -> None:
    each = 6
    with start(PUBLISH, tmp_path, each) as one, start(PUBLISH, tmp_path, each) as other:
        for process in (one, other):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        store, observed = Store(str(tmp_path)), []
        while one.poll() is None or other.poll() is None:
            observed.append(int((store.latest() or "v0.0").removeprefix("v0.")))
        published = [one.communicate()[0].split(), other.communicate()[0].split()]
    every = [f"v0.{minor}" for minor in range(1, 2 * each + 1)]
    assert sorted(published[0] + published[1]) == sorted(every)
    assert store.versions() == every
    assert store.latest() == every[-1]
    assert observed == sorted(observed)
    for version in every:
        store.verify(version)


class Trap:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def sign(folder: Path) -> None:
    """Rewrite the manifest so that every checksum fits what is there now."""
    manifest = decode_manifest((folder / "meta.json").read_bytes(), folder.name)
    payloads = {name: (folder / name).read_bytes() for name in manifest.files}
    manifest.files.update(
        {name: FileEntry(digest(payload), len(payload)) for name, payload in payloads.items()}
    )
    (folder / "meta.json").write_bytes(encode_manifest(manifest))


def failing_at(step: int) -> Callable[[int], None]:
    """Return an ``os.fsync`` whose call number `step`, from 0, fails."""
    calls = itertools.count()

    def fsync(descriptor: int) -> None:
        if next(calls) == step:
            raise OSError(errno.ENOSPC, "the disk is full")

    return fsync
