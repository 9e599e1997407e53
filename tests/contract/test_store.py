"""The store's contract: a version is whole or not there, whoever crashes or publishes beside it.

One class for every kind of location (`conftest.py`); what only real processes show comes after it.
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
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from registry.errors import (
    ArtifactError,
    ConfigurationError,
    DamagedVersion,
    RecstreamError,
    UnknownVersion,
)
from registry.storage.objects import Objects
from registry.versions.file_cache import Cache
from registry.versions.manifest import SCHEMA_VERSION, FileEntry, Manifest, digest, encode_manifest
from registry.versions.signing import NO_KEYS, read_keys
from registry.versions.store import Store
from tests.unit.registry.builders import a_description, a_key_pair, a_request, some_arrays

CONDITIONAL = ("folder", "file-url", "s3")
"""Where publishers may be many; the memory of one process knows no conditional write."""


@pytest.fixture
def store(url: str, tmp_path: Path) -> Store:
    return Store(url, cache=Cache(tmp_path / "cache"))


@pytest.fixture
def objects(store: Store) -> Objects:
    """What the store keeps; it holds one published version, v0.1."""
    publish(store)
    return store.objects


def publish(store: Store, **arrays: Any) -> Manifest:
    return store.publish(some_arrays(**arrays), a_description())


def snapshot_of(objects: Objects, folder: str = "") -> dict[str, bytes]:
    return {file.path: objects.read(f"{folder}/{file.path}") for file in objects.found(folder)}


def refusal_of(kind: type[RecstreamError], call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(kind) as refused:
        call(*arguments)
    return str(refused.value)


class TestStore:
    def test_an_empty_or_missing_registry_holds_no_version(self, store: Store) -> None:
        assert (store.versions(), store.latest()) == ([], None)
        assert "no version" in refusal_of(UnknownVersion, lambda: store.manifest("v0.1"))

    def test_versions_count_up_from_v0_1_by_number_not_by_text(self, store: Store) -> None:
        store.objects.create("claims/v0.8", b"{}")
        published = [publish(store).version for _ in range(3)]
        assert published == store.versions() == ["v0.9", "v0.10", "v0.11"]
        assert store.latest() == "v0.11"
        assert store.objects.read("latest.txt") == b"v0.11\n"

    def test_the_first_version_is_v0_1(self, store: Store) -> None:
        assert publish(store).version == "v0.1"

    def test_the_next_version_stays_in_the_newest_major(self, store: Store) -> None:
        store.objects.create("v2.4/als/shape.json", b"{}")
        assert publish(store).version == "v2.5"

    def test_the_manifest_says_what_the_publisher_said_and_lists_every_file(
        self, store: Store, objects: Objects
    ) -> None:
        published = store.verify("v0.1")
        assert published == store.manifest("v0.1")
        for name in a_description().__struct_fields__:
            assert getattr(published, name) == getattr(a_description(), name)
        held = snapshot_of(objects, "v0.1")
        assert set(published.files) == set(held) - {"meta.json"}
        for name, entry in published.files.items():
            assert entry == FileEntry(digest(held[name]), len(held[name]))

    def test_a_published_version_opens_as_a_model_that_answers(
        self, store: Store, objects: Objects
    ) -> None:
        model = store.open("v0.1")
        assert (model.version, model.users, model.items) == ("v0.1", 5, 7)
        (answer,) = model.recommend([a_request(1, k=2)])
        assert (len(answer.items), answer.source) == (2, "model")

    def test_a_model_maps_its_arrays_and_copies_none(self, store: Store, objects: Objects) -> None:
        for array in store.open("v0.1")._mapped():
            assert isinstance(array.base, np.memmap)

    def test_a_model_answers_though_its_version_is_gone(
        self, store: Store, objects: Objects
    ) -> None:
        model = store.open("v0.1")
        for file in objects.found():
            objects.delete(file.path)
        assert model.recommend([a_request(1, k=2)])[0].source == "model"

    def test_publishing_never_touches_an_earlier_version(
        self, store: Store, objects: Objects
    ) -> None:
        before = objects.found("v0.1")
        publish(store, seed=1)
        assert objects.found("v0.1") == before

    @pytest.mark.parametrize("name", ["", "..", "../v0.1", "v0.1/als", "latest", "V0.1", "/etc"])
    def test_what_is_no_version_name_is_unknown(self, store: Store, name: str) -> None:
        for call in (store.manifest, store.verify, store.open):
            assert repr(name) in refusal_of(UnknownVersion, call, name)

    def test_an_unknown_version_is_refused_with_those_that_exist(
        self, store: Store, objects: Objects
    ) -> None:
        message = refusal_of(UnknownVersion, lambda: store.open("v0.9"))
        assert "v0.9" in message
        assert "v0.1" in message.replace("v0.9", "")

    # --- further files -------------------------------------------------------------------------

    def test_a_report_is_published_with_the_version_and_read_back_verified(
        self, store: Store
    ) -> None:
        store.publish(
            some_arrays(),
            a_description(),
            {"report/index.html": lambda version: f"<html>{version}".encode()},
        )
        assert store.verify("v0.1").files["report/index.html"].bytes == 10
        assert store.read("v0.1", "report/index.html") == b"<html>v0.1"
        store.objects.replace("v0.1/report/index.html", b"<HTML>v0.1")
        anew = Store(store.url)  # without what the cache holds by now
        for call in (anew.verify, lambda version: anew.read(version, "report/index.html")):
            message = refusal_of(DamagedVersion, call, "v0.1")
            assert message.startswith("v0.1: report/index.html has changed")
        assert "no.md is not in" in refusal_of(DamagedVersion, lambda: store.read("v0.1", "no.md"))

    @pytest.mark.parametrize(
        "name", ["meta.json", "meta.sig", "als/shape.json", "../v0.2", "/etc/passwd", "", "."]
    )
    def test_a_further_file_cannot_take_the_place_of_another(self, store: Store, name: str) -> None:
        message = refusal_of(
            ArtifactError,
            lambda: store.publish(some_arrays(), a_description(), {name: lambda _: b""}),
        )
        assert repr(name) in message
        assert store.objects.found() == []

    # --- what is not a version -----------------------------------------------------------------

    def test_files_without_a_manifest_are_no_version_and_their_number_is_skipped(
        self, store: Store, objects: Objects
    ) -> None:
        objects.create("v0.2/als/shape.json", b"{}")
        assert (store.versions(), store.latest()) == (["v0.1"], "v0.1")
        assert store.folders() == ["v0.1", "v0.2"]
        refusal_of(UnknownVersion, lambda: store.open("v0.2"))
        assert publish(store).version == "v0.3"

    def test_other_names_in_the_folder_are_ignored(self, store: Store, objects: Objects) -> None:
        for name in ("notes", "v0.x", "v00.2", ".git"):
            objects.create(f"{name}/meta.json", objects.read("v0.1/meta.json"))
        objects.create("v0.2", b"an object, not a folder")
        assert store.versions() == ["v0.1"]
        refusal_of(UnknownVersion, lambda: store.open("v0.2"))
        assert publish(store).version == "v0.3"

    def test_latest_is_the_newest_version_where_latest_txt_is_missing(
        self, store: Store, objects: Objects
    ) -> None:
        publish(store)
        objects.delete("latest.txt")
        assert store.latest() == "v0.2"

    @pytest.mark.parametrize("held", [b"", b"v9", b"\xff\xfe", b"v0.7", b"../v0.1", b"v0.1 v0.2"])
    def test_a_latest_txt_that_names_no_version_is_an_error_not_a_guess(
        self, store: Store, objects: Objects, held: bytes
    ) -> None:
        objects.replace("latest.txt", held)
        assert "latest.txt" in refusal_of(DamagedVersion, store.latest)

    def test_a_number_is_not_used_again_after_its_version_was_removed(
        self, store: Store, objects: Objects
    ) -> None:
        publish(store)
        for file in [*objects.found("v0.2"), *objects.found("v0.1")]:
            objects.delete(f"v0.2/{file.path}")
        objects.delete("latest.txt")
        assert publish(store).version == "v0.3"

    # --- removing ------------------------------------------------------------------------------

    def test_a_hidden_version_is_unknown_and_comes_back_whole(
        self, store: Store, objects: Objects
    ) -> None:
        before = snapshot_of(objects, "v0.1")
        publish(store)
        store.hide("v0.1")
        assert store.versions() == ["v0.2"]
        assert store.folders() == ["v0.1", "v0.2"]
        refusal_of(UnknownVersion, lambda: store.open("v0.1"))
        store.restore("v0.1")
        assert snapshot_of(objects, "v0.1") == before
        store.verify("v0.1")

    def test_a_hidden_version_can_be_read_to_the_end_by_who_had_begun(
        self, store: Store, objects: Objects
    ) -> None:
        class Hides(Cache):
            def open(self, entry: FileEntry, fetch: Callable[[Path], None]) -> Any:
                if store.versions():
                    store.hide("v0.1")
                return super().open(entry, fetch)

        assert store._cache is not None
        reader = Store(store.url, cache=Hides(store._cache.folder))
        if objects.folder is None:
            assert reader.open("v0.1").version == "v0.1"
            assert store.versions() == []

    def test_files_are_removed_of_what_is_not_published_only(
        self, store: Store, objects: Objects
    ) -> None:
        assert "is published" in refusal_of(ArtifactError, lambda: store.delete_files("v0.1"))
        store.hide("v0.1")
        store.delete_files("v0.1")
        assert objects.found("v0.1") == []
        assert objects.read("removed/v0.1.json").startswith(b"{")
        assert "is missing" in refusal_of(DamagedVersion, lambda: store.restore("v0.1"))
        assert publish(store).version == "v0.2"

    # --- damage --------------------------------------------------------------------------------

    def test_one_flipped_bit_in_any_file_is_found_and_the_file_named(
        self, store: Store, objects: Objects, tmp_path: Path
    ) -> None:
        for name in store.manifest("v0.1").files:
            original = objects.read(f"v0.1/{name}")
            store = Store(store.url, cache=Cache(tmp_path / name))
            for position in (0, len(original) // 2, len(original) - 1):
                flipped = bytearray(original)
                flipped[position] ^= 1
                objects.replace(f"v0.1/{name}", bytes(flipped))
                message = refusal_of(DamagedVersion, store.open, "v0.1")
                assert message.startswith(f"v0.1: {name} has changed")
            objects.replace(f"v0.1/{name}", original)
        store.open("v0.1")

    def test_without_a_cache_the_registry_itself_is_verified(
        self, store: Store, objects: Objects
    ) -> None:
        store.open("v0.1")  # from here on its files are in the cache
        titles = objects.read("v0.1/als/titles.json")
        objects.replace("v0.1/als/titles.json", titles.replace(b"1", b"2"))
        assert "titles.json has changed" in refusal_of(
            DamagedVersion, lambda: Store(store.url).verify("v0.1")
        )

    def test_a_missing_file_is_named(self, store: Store, objects: Objects) -> None:
        objects.delete("v0.1/als/titles.json")
        message = refusal_of(DamagedVersion, lambda: store.verify("v0.1"))
        assert message == "v0.1: als/titles.json is missing"

    def test_an_extra_file_is_named(self, store: Store, objects: Objects) -> None:
        objects.create("v0.1/als/more.npy", b"")
        message = refusal_of(DamagedVersion, lambda: store.verify("v0.1"))
        assert message == "v0.1: als/more.npy is not in the manifest"

    def test_a_truncated_array_is_named_with_both_sizes(
        self, store: Store, objects: Objects
    ) -> None:
        payload = objects.read("v0.1/als/item_factors.npy")
        objects.replace("v0.1/als/item_factors.npy", payload[:-1])
        message = refusal_of(DamagedVersion, lambda: store.verify("v0.1"))
        assert message == (
            f"v0.1: als/item_factors.npy has changed: {len(payload) - 1} bytes, published were "
            f"{len(payload)}"
        )

    def test_a_damaged_manifest_is_refused(self, store: Store, objects: Objects) -> None:
        objects.replace("v0.1/meta.json", objects.read("v0.1/meta.json")[:-20])
        refusal_of(DamagedVersion, lambda: store.manifest("v0.1"))

    def test_a_manifest_of_a_newer_schema_is_refused_and_says_what_to_do(
        self, store: Store, objects: Objects
    ) -> None:
        rewrite(objects, schema_version=SCHEMA_VERSION + 1)
        assert "upgrade recstream" in refusal_of(DamagedVersion, lambda: store.open("v0.1"))

    def test_a_manifest_that_leads_out_of_its_folder_is_refused(
        self, store: Store, objects: Objects
    ) -> None:
        rewrite(objects, files={"../v0.2/als/shape.json": {"sha256": "0" * 64, "bytes": 1}})
        assert "outside its folder" in refusal_of(DamagedVersion, lambda: store.open("v0.1"))

    def test_a_version_renamed_by_hand_is_refused(self, store: Store, objects: Objects) -> None:
        for path, payload in snapshot_of(objects, "v0.1").items():
            objects.create(f"v0.5/{path}", payload)
        assert "'v0.1'" in refusal_of(DamagedVersion, lambda: store.open("v0.5"))

    # --- damage that all checksums agree with --------------------------------------------------

    def test_arrays_that_must_not_be_served_are_refused(
        self, store: Store, objects: Objects
    ) -> None:
        factors = some_arrays().item_factors
        factors[0, 0] = np.nan
        put(objects, "item_factors.npy", saved(factors))
        message = refusal_of(DamagedVersion, lambda: store.open("v0.1"))
        assert message == "v0.1: item_factors: holds values that are not finite"

    def test_an_array_that_claims_an_absurd_shape_is_refused_and_allocates_nothing(
        self, store: Store, objects: Objects
    ) -> None:
        payload = objects.read("v0.1/als/user_factors.npy")
        absurd = payload.replace(b"(5, 3)", b"(9999999999999999, 9999999999999999)", 1)
        put(objects, "user_factors.npy", absurd)
        refusal_of(DamagedVersion, lambda: store.open("v0.1"))

    def test_a_pickle_is_never_loaded(self, store: Store, objects: Objects, tmp_path: Path) -> None:
        trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
        put(objects, "popularity.npy", saved(trap))
        assert "popularity.npy" in refusal_of(DamagedVersion, lambda: store.open("v0.1"))
        assert not (tmp_path / "sprung").exists()

    def test_bad_arrays_are_refused_before_a_number_is_taken(self, store: Store) -> None:
        swapped = some_arrays(
            user_factors=some_arrays().item_factors, item_factors=some_arrays().user_factors
        )
        message = refusal_of(DamagedVersion, lambda: store.publish(swapped, a_description()))
        assert "user_factors" in message
        assert store.objects.found() == []

    def test_a_manifest_that_nobody_could_read_is_not_published(self, store: Store) -> None:
        unreadable = a_description(metrics={"ndcg_at_10": float("nan")})  # null in JSON
        message = refusal_of(DamagedVersion, lambda: store.publish(some_arrays(), unreadable))
        assert "metrics" in message
        assert store.folders() == []

    # --- signatures ----------------------------------------------------------------------------

    def test_with_a_key_only_what_it_signed_is_read(self, store: Store, objects: Objects) -> None:
        old, new = "a" * 32, "b" * 32
        both = read_keys(f"{old},{new}")
        assert "v0.1 is not signed" in refusal_of(
            DamagedVersion, lambda: Store(store.url, keys=both).open("v0.1")
        )
        Store(store.url, keys=read_keys(new)).publish(some_arrays(), a_description())
        for readers in (both, read_keys(new), NO_KEYS):
            assert Store(store.url, keys=readers).verify("v0.2").version == "v0.2"
        assert "RECSTREAM_SIGNING_KEY holds" in refusal_of(
            DamagedVersion, lambda: Store(store.url, keys=read_keys(old)).open("v0.2")
        )

    def test_who_holds_the_public_key_reads_what_the_private_one_signed_and_publishes_nothing(
        self, store: Store
    ) -> None:
        own, stranger = a_key_pair(1), a_key_pair(2)
        publisher = Store(store.url, keys=read_keys(private=own.private))
        reader = Store(store.url, keys=read_keys(public=own.public))
        publish(publisher)
        publisher.require_publishable()
        for keeper in (publisher, reader, store):
            assert keeper.open("v0.1").version == "v0.1"
        assert "is signed by ed25519 key" in refusal_of(
            DamagedVersion,
            lambda: Store(store.url, keys=read_keys(public=stranger.public)).open("v0.1"),
        )
        for attempt in (reader.require_publishable, lambda: publish(reader)):
            assert "set RECSTREAM_SIGNING_PRIVATE_KEY" in refusal_of(ArtifactError, attempt)
        reader.require_publishable(write=False)
        assert store.versions() == ["v0.1"]
        rewrite(store.objects, created_by="somebody else")
        assert "is not the one that key" in refusal_of(DamagedVersion, reader.open, "v0.1")

    def test_a_manifest_that_was_changed_after_it_was_signed_is_refused(self, store: Store) -> None:
        signed = Store(store.url, keys=read_keys("a" * 32))
        publish(signed)
        rewrite(store.objects, created_by="somebody else")
        assert store.open("v0.1").version == "v0.1"
        for call in (signed.manifest, signed.open, signed.verify):
            assert "is not the one that key" in refusal_of(DamagedVersion, call, "v0.1")

    # --- failing, crashing and concurrent publishers -------------------------------------------

    def test_a_crash_before_or_after_any_write_leaves_whole_versions_only(
        self, store: Store, objects: Objects
    ) -> None:
        visible = 0
        for step in range(100):
            before = store.versions()
            dying = Store(store.url)
            dying.objects = DyingObjects(store.url, step)
            try:
                publish(dying)
                break
            except Died:
                pass
            assert store.versions()[: len(before)] == before
            for version in store.versions():
                store.verify(version)
            assert store.latest() in store.versions()
            visible += len(store.versions()) > len(before)
        assert step > 20  # claim, nine files, manifest and latest.txt, before and after each
        assert visible >= 2  # after the manifest, before and after latest.txt
        assert store.latest() == store.versions()[-1]

    def test_a_failing_write_leaves_no_files_of_a_version_behind(
        self, store: Store, objects: Objects, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for failing in ("als/shape.json", "als/user_ids.json"):
            full = Store(store.url)
            full.objects = FullObjects(store.url, failing)
            assert "the disk is full" in refusal_of(ArtifactError, publish, full)
        assert store.versions() == ["v0.1"]
        assert objects.found("v0.2") == objects.found("v0.3") == []

    def test_a_registry_that_can_be_published_to_is_left_as_it_was(
        self, store: Store, objects: Objects
    ) -> None:
        publish(store)
        before = objects.found()
        store.require_publishable()
        assert objects.found() == before

    def test_a_latest_txt_that_nobody_can_read_is_found_before_a_publication(
        self, store: Store, objects: Objects
    ) -> None:
        objects.replace("latest.txt", b"garbage\xff")
        complaint = refusal_of(DamagedVersion, store.require_publishable)
        assert "nothing can be published: latest.txt holds 'garbage" in complaint

    def test_a_version_whose_files_are_gone_is_named_without_reading_them(
        self, store: Store, objects: Objects
    ) -> None:
        version = publish(store).version
        store.require_files(version)
        objects.delete(f"{version}/als/popularity.npy")
        complaint = refusal_of(DamagedVersion, store.require_files, version)
        assert "als/popularity.npy is missing" in complaint

    def test_another_publishers_version_shows_in_a_listing_that_was_asked_for_before(
        self, store: Store
    ) -> None:
        watching = Store(store.url)
        for _ in range(3):
            version = publish(store).version
            assert watching.versions()[-1] == watching.latest() == version
            assert {file.path for file in watching.objects.found(version)} >= {"meta.json"}
            watching.require_files(version)

    def test_a_slow_publisher_does_not_move_latest_back(self, store: Store) -> None:
        slow = Store(store.url)
        slow.objects = OvertakenObjects(store.url, lambda: publish(store))
        assert (publish(slow).version, store.latest()) == ("v0.1", "v0.2")
        assert store.versions() == ["v0.1", "v0.2"]

    @pytest.mark.parametrize("url", CONDITIONAL, indirect=True)
    def test_threads_that_publish_at_once_get_a_version_each(self, store: Store) -> None:
        together = threading.Barrier(6)

        def publish_model(seed: int) -> str:
            together.wait(timeout=10)
            return publish(store, seed=seed).version

        with ThreadPoolExecutor(6) as pool:
            published = list(pool.map(publish_model, range(6)))
        assert sorted(published) == sorted(store.versions()) == [f"v0.{n}" for n in range(1, 7)]
        assert store.latest() == "v0.6"
        for seed, version in enumerate(published):
            model = store.open(version)
            np.testing.assert_array_equal(
                model.arrays.item_factors, some_arrays(seed=seed).item_factors
            )

    def test_a_storage_that_overwrites_what_is_to_be_created_once_is_refused(
        self, store: Store
    ) -> None:
        store.objects = Overwriting(store.url)
        assert "If-None-Match" in refusal_of(ConfigurationError, lambda: publish(store))
        assert store.folders() == []


def test_a_failing_disk_at_any_sync_leaves_whole_versions_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path / "models"))
    complaints = []
    for step in range(200):
        before = store.versions()
        monkeypatch.setattr(os, "fsync", failing_at(step))
        try:
            publish(store)
            break
        except ArtifactError as error:
            complaints.append(str(error))
        finally:
            monkeypatch.undo()
        assert store.latest() in (*store.versions(), None)
        if store.latest() == (before[-1] if before else None):  # reported as failed, and is gone
            assert store.folders() == store.versions() == before
        for version in store.versions():
            store.verify(version)
    assert len(complaints) > 20
    assert all("disk is full" in complaint for complaint in complaints)
    assert store.latest() == store.versions()[-1]


def test_an_unwritable_registry_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(str(tmp_path / "file" / "models"))
    assert "could not publish" in refusal_of(ArtifactError, lambda: publish(store))
    complaint = refusal_of(ArtifactError, store.require_publishable)
    assert "nothing can be published" in complaint


# --- real processes -----------------------------------------------------------------------------

CRASH_AT_EVERY_STEP = """
import json, os, shutil, signal, sys
from registry.storage.object_storage import Remote
from registry.versions.store import Store
from tests.unit.registry.builders import a_description, some_arrays

left, armed = 0, False

def die_at_the_step():
    global left
    if armed:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def on_system_call(event, arguments):  # all by which publishing to a folder changes the disk
    steps = ("open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir")
    if event in steps and str(arguments[0]).startswith(url):
        die_at_the_step()

def counted(write):  # all by which publishing elsewhere changes what is there
    def counting(*arguments, **more):
        die_at_the_step()
        try:
            return write(*arguments, **more)
        finally:
            die_at_the_step()
    return counting

url = sys.argv[1]
if "://" in url:
    import s3fs  # once, for all children
    for name in ("create", "upload", "replace", "exchange", "delete"):
        setattr(Remote, name, counted(getattr(Remote, name)))
else:
    sys.addaudithook(on_system_call)

def in_a_child(act):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, json.dumps(act()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, json.loads(text) if text else None

def publish(seed):
    return Store(url).publish(some_arrays(seed=seed), a_description()).version

def publish_and_die():
    global left, armed
    left, armed = step, True
    return publish(1)

def look():
    store = Store(url)
    versions, latest = store.versions(), store.latest()
    for version in versions:
        store.verify(version)
    return versions, latest

seen = [in_a_child(lambda: publish(0))]
for step in range(0, 400, int(sys.argv[2])):
    status, published = in_a_child(publish_and_die)
    seen.append((status, published, *in_a_child(look)[1]))
    if status == 0:
        break
print(json.dumps(seen))
"""

PUBLISH = """
import sys
from registry.versions.store import Store
from tests.unit.registry.builders import a_description, some_arrays

store = Store(sys.argv[1])
store.latest()
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


def test_a_process_killed_at_any_step_leaves_whole_versions_only_and_the_next_one_publishes(
    shared_url: str,
) -> None:
    stride = 1 if "://" not in shared_url else 4  # S3 is slow here; TestStore takes each step
    with start(CRASH_AT_EVERY_STEP, shared_url, stride) as process:
        output, _ = process.communicate(timeout=240)
    (first, *seen) = json.loads(output)
    assert first == [0, "v0.1"]
    assert [status for status, *_ in seen] == [-9] * (len(seen) - 1) + [0]
    assert len(seen) > 20 / stride
    held = ["v0.1"]
    for _, published, versions, latest in seen:
        assert versions[: len(held)] == held  # what was visible stays
        assert latest in versions
        assert published in (None, versions[-1])
        held = versions
    assert seen[-1][3] == held[-1]


def test_processes_that_publish_at_once_get_different_versions_and_latest_only_rises(
    shared_url: str,
) -> None:
    each = 5
    with start(PUBLISH, shared_url, each) as first, start(PUBLISH, shared_url, each) as other:
        for process in (first, other):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (first, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        store, observed = Store(shared_url), []
        while first.poll() is None or other.poll() is None:
            observed.append(int((store.latest() or "v0.0").removeprefix("v0.")))
        published = [first.communicate()[0].split(), other.communicate()[0].split()]
    every = [f"v0.{minor}" for minor in range(1, 2 * each + 1)]
    assert sorted(published[0] + published[1]) == sorted(every)
    assert store.versions() == every
    assert store.latest() == every[-1]
    assert observed == sorted(observed)
    for version in every:
        store.verify(version)


class Died(BaseException):
    """Nothing runs after this: a publisher that was killed."""


class DyingObjects(Objects):
    """Writes until it dies, before or after a write; then nothing of it is heard again."""

    def __init__(self, url: str, steps: int) -> None:
        super().__init__(url)
        self._left = steps

    def create(self, path: str, payload: bytes) -> bool:
        return self._stepping(lambda: Objects.create(self, path, payload))

    def upload(self, path: str, from_: Path) -> bool:
        return self._stepping(lambda: Objects.upload(self, path, from_))

    def exchange(self, path: str, before: bytes | None, after: bytes) -> bool:
        return self._stepping(lambda: Objects.exchange(self, path, before, after))

    def delete(self, path: str) -> None:
        self._step()
        super().delete(path)

    def found(self, folder: str = "") -> list[Any]:
        if self._left < 0:
            raise Died
        return super().found(folder)

    def _stepping(self, write: Callable[[], bool]) -> bool:
        self._step()
        written = write()
        self._step()
        return written

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Died


class FullObjects(Objects):
    """Has no room for one of the files."""

    def __init__(self, url: str, failing: str) -> None:
        super().__init__(url)
        self._failing = failing

    def upload(self, path: str, from_: Path) -> bool:
        if path.endswith(self._failing):
            raise ArtifactError("the disk is full")
        return super().upload(path, from_)


class OvertakenObjects(Objects):
    """Another publisher comes between its manifest and its latest.txt."""

    def __init__(self, url: str, other: Callable[[], object]) -> None:
        super().__init__(url)
        self._other = other

    def create(self, path: str, payload: bytes) -> bool:
        created = super().create(path, payload)
        if path.endswith("meta.json"):
            self._other()
        return created


class Overwriting(Objects):
    """Takes every write, as a storage does that does not know If-None-Match."""

    def create(self, path: str, payload: bytes) -> bool:
        self.replace(path, payload)
        return True


class Trap:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def saved(array: Any) -> bytes:
    file = BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def rewrite(objects: Objects, **fields: Any) -> None:
    """Change fields of the manifest of v0.1."""
    manifest = msgspec.json.decode(objects.read("v0.1/meta.json"))
    objects.replace("v0.1/meta.json", msgspec.json.encode(manifest | fields))


def put(objects: Objects, name: str, payload: bytes) -> None:
    """Replace one file of v0.1, and let the manifest agree."""
    objects.replace(f"v0.1/als/{name}", payload)
    manifest = msgspec.json.decode(objects.read("v0.1/meta.json"), type=Manifest)
    manifest.files[f"als/{name}"] = FileEntry(digest(payload), len(payload))
    objects.replace("v0.1/meta.json", encode_manifest(manifest))


def failing_at(step: int) -> Callable[[int], None]:
    """Return an ``os.fsync`` whose call number `step`, from 0, fails."""
    calls = itertools.count()

    def fsync(descriptor: int) -> None:
        if next(calls) == step:
            raise OSError(errno.ENOSPC, "the disk is full")

    return fsync
