"""Objects: one class on every kind of storage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from registry.errors import ArtifactError, ConfigurationError
from registry.storage.objects import MissingObject, Objects
from registry.versions.store import Store

CONDITIONAL = ("folder", "file-url", "s3")
"""Where writers may be many; the memory of one process knows no conditional write."""


@pytest.fixture
def objects(url: str) -> Objects:
    return Objects(url)


class TestObjects:
    def test_what_nobody_has_written_is_empty_and_has_no_objects(self, objects: Objects) -> None:
        assert (objects.names(), objects.names("a"), objects.found()) == ([], [], [])
        assert not objects.exists("a")
        assert objects.read_if_there("a") is None
        for ask in (objects.read, objects.size):
            with pytest.raises(MissingObject, match="a/b: not in "):
                ask("a/b")

    def test_an_object_is_created_once(self, objects: Objects) -> None:
        assert objects.create("a/b", b"first")
        assert not objects.create("a/b", b"second")
        assert (objects.read("a/b"), objects.size("a/b")) == (b"first", 5)
        assert objects.exists("a/b")
        assert not objects.exists("a")

    @pytest.mark.parametrize("url", CONDITIONAL, indirect=True)
    def test_of_many_that_create_it_at_once_one_does(self, objects: Objects) -> None:
        with ThreadPoolExecutor(8) as pool:
            created = list(pool.map(lambda number: objects.create("a", b"%d" % number), range(8)))
        assert created.count(True) == 1
        assert objects.read("a") == b"%d" % created.index(True)

    def test_a_file_is_uploaded_once_and_downloaded(self, objects: Objects, tmp_path: Path) -> None:
        with objects.staging() as folder:
            for name in ("one", "other"):
                (folder / name).write_bytes(name.encode() * 1000)
            assert objects.upload("a/b", folder / "one")
            assert not objects.upload("a/b", folder / "other")
        assert not folder.exists()
        objects.download("a/b", tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == b"one" * 1000

    def test_a_file_of_elsewhere_is_uploaded_as_well(self, objects: Objects) -> None:
        assert objects.upload("a", Path(__file__))
        assert objects.read("a") == Path(__file__).read_bytes()

    def test_replacing_needs_nothing_to_be_there(self, objects: Objects) -> None:
        for payload in (b"first", b""):
            objects.replace("a/b", payload)
            assert objects.read("a/b") == payload

    def test_an_exchange_happens_only_where_the_old_bytes_are_as_expected(
        self, objects: Objects
    ) -> None:
        assert not objects.exchange("a", b"", b"1")
        assert objects.exchange("a", None, b"1")
        assert not objects.exchange("a", None, b"2")
        assert not objects.exchange("a", b"2", b"3")
        assert objects.read("a") == b"1"
        assert objects.exchange("a", b"1", b"2")
        assert objects.read("a") == b"2"

    @pytest.mark.parametrize("url", CONDITIONAL, indirect=True)
    def test_exchanges_at_once_lose_no_count(self, objects: Objects) -> None:
        objects.create("count", b"0")

        def add_five(_: int) -> None:
            for _ in range(5):
                while True:
                    held = objects.read("count")
                    if objects.exchange("count", held, b"%d" % (int(held) + 1)):
                        break

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add_five, range(4)))
        assert objects.read("count") == b"20"

    def test_listing_names_objects_and_folders_and_hides_what_begins_with_a_dot(
        self, objects: Objects
    ) -> None:
        for path in ("b/c/d", "b/e", "a", ".hidden", "bb"):
            objects.replace(path, path.encode())
        assert objects.names() == ["a", "b", "bb"]
        assert objects.names("b") == ["c", "e"]
        found = objects.found("b")
        assert [(file.path, file.size_bytes) for file in found] == [("c/d", 5), ("e", 3)]
        day = timedelta(days=1)
        assert all(abs(datetime.now(UTC) - file.modified_at) < day for file in found)
        assert objects.existing(["bb", "b", "a", "x"]) == ["bb", "a"]

    def test_deleting_leaves_no_empty_folder_and_is_done_once_or_twice(
        self, objects: Objects
    ) -> None:
        objects.create("a/b/c", b"")
        objects.create("a/d", b"")
        objects.delete("a/b/c")
        objects.delete("a/b/c")
        assert objects.names("a") == ["d"] or objects.url.startswith("memory:")
        objects.delete("a/d")
        assert objects.found() == []
        assert objects.create("a/b/c", b"again")

    @pytest.mark.parametrize(
        "path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b"]
    )
    def test_a_path_that_leads_elsewhere_is_refused(self, objects: Objects, path: str) -> None:
        for call in (objects.read, objects.delete, objects.exists):
            with pytest.raises(ArtifactError, match="names no object"):
                call(path)


def test_a_bucket_that_is_missing_is_no_empty_registry(s3: str) -> None:
    objects = Objects("s3://nobody-made-this/models")
    for call in (objects.names, objects.found, lambda: objects.create("a", b"")):
        with pytest.raises(ArtifactError, match="does not exist"):
            call()


def test_a_storage_out_of_reach_is_an_artifact_error(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    fsspec.filesystem("s3").clear_instance_cache()  # an instance keeps the address it began with
    try:
        with pytest.raises(ArtifactError, match="Could not connect"):
            Objects(f"{s3}/models").names()
    finally:
        fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize("url", ["s3://", "nonsense://x", "memory://"])
def test_a_url_that_names_no_place_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MODEL_REGISTRY='{url}'"):
        Objects(url)


def test_a_storage_that_cannot_compare_and_set_is_named_and_keeps_what_it_holds() -> None:
    objects = Objects("memory://no-etag/models")
    objects.replace("a", b"before")
    with pytest.raises(ArtifactError, match=r"memory://no-etag/models: .* no ETag"):
        objects.exchange("a", b"before", b"after")
    assert objects.read("a") == b"before"
    assert not objects.exchange("a", b"other", b"after")


def test_where_nothing_can_be_exchanged_nothing_is_published_and_it_shows_before_a_fit() -> None:
    store = Store("memory://no-etag-registry/models")
    with pytest.raises(ArtifactError, match=r"nothing can be published: checks/.* no ETag"):
        store.require_publishable()
    assert store.objects.found() == []


def test_what_killed_writers_left_is_discarded_once_it_is_old(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path / "models"))
    assert objects.discard_parts(datetime.now(UTC)) == 0
    with objects.staging() as folder:
        (folder / "file").write_bytes(b"x")
        assert objects.discard_parts(datetime.now(UTC) - timedelta(hours=1)) == 0
        assert folder.exists()
        assert objects.discard_parts(datetime.now(UTC) + timedelta(hours=1)) == 1
        assert not folder.exists()
        folder.mkdir()
