"""The cache, shared: real processes fetch, die, evict and map at once; on S3 too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.errors import ArtifactError, DamagedVersion
from registry.versions.file_cache import Cache
from registry.versions.manifest import FileEntry, digest
from registry.versions.store import Store
from tests.unit.registry.builders import a_description, a_request, some_arrays

ROOT = Path(__file__).parents[2]


class Source:
    """Where files come from; counts how often."""

    def __init__(self, *payloads: bytes) -> None:
        self.payloads = {digest(payload): payload for payload in payloads}
        self.entries = [FileEntry(name, len(held)) for name, held in self.payloads.items()]
        self.fetched: list[str] = []

    def read(self, cache: Cache, entry: FileEntry) -> bytes:
        with cache.open(entry, lambda to: self._fetch(entry, to)) as file:
            return file.read()

    def _fetch(self, entry: FileEntry, to: Path) -> None:
        self.fetched.append(entry.sha256)
        to.write_bytes(self.payloads[entry.sha256])


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", max_bytes=100)


def held(cache: Cache) -> set[str]:
    return {path.name for path in cache.folder.iterdir()} - {".lock"}


def test_a_file_is_fetched_once_and_kept_by_what_it_holds(cache: Cache) -> None:
    source = Source(b"payload")
    for _ in range(3):
        assert source.read(cache, source.entries[0]) == b"payload"
    assert source.fetched == [digest(b"payload")]
    assert held(cache) == {digest(b"payload")}


def test_what_arrives_damaged_is_never_kept(cache: Cache) -> None:
    source = Source(b"payload")
    source.payloads[digest(b"payload")] = b"pAyload"
    with pytest.raises(DamagedVersion, match="has changed: 7 bytes"):
        source.read(cache, source.entries[0])
    assert held(cache) == set()


def test_a_fetch_that_fails_leaves_nothing(cache: Cache) -> None:
    def half(to: Path) -> None:
        to.write_bytes(b"pay")
        raise ArtifactError("the connection is gone")

    with pytest.raises(ArtifactError, match="connection is gone"):
        cache.open(FileEntry(digest(b"payload"), 7), half)
    assert held(cache) == set()


@pytest.mark.parametrize("damage", [b"pAyload", b"pay", b""])
def test_what_was_damaged_here_is_fetched_again(cache: Cache, damage: bytes) -> None:
    source = Source(b"payload")
    source.read(cache, source.entries[0])
    (cache.folder / digest(b"payload")).write_bytes(damage)
    assert source.read(cache, source.entries[0]) == b"payload"
    assert len(source.fetched) == 2


def test_the_file_that_was_not_asked_for_the_longest_makes_room(cache: Cache) -> None:
    source = Source(b"a" * 40, b"b" * 40, b"c" * 40)
    a, b, c = source.entries
    for age, entry in enumerate((b, a)):
        source.read(cache, entry)
        os.utime(cache.folder / entry.sha256, ns=(age, age))
    source.read(cache, b)  # asked for again: now a is the oldest
    source.read(cache, c)
    assert held(cache) == {b.sha256, c.sha256}


def test_what_is_held_is_never_removed_and_the_refusal_says_how_much_is_needed(
    cache: Cache,
) -> None:
    source = Source(b"a" * 60, b"b" * 60)
    a, b = source.entries
    with cache.open(a, lambda to: source._fetch(a, to)) as mapped:
        with pytest.raises(ArtifactError, match=r"RECSTREAM_MODEL_CACHE_BYTES=100 .* least 120"):
            source.read(cache, b)
        assert mapped.read() == b"a" * 60
    assert source.read(cache, b) == b"b" * 60
    assert held(cache) == {b.sha256}


def test_a_file_larger_than_the_cache_is_refused_before_it_is_fetched(cache: Cache) -> None:
    source = Source(b"a" * 101)
    with pytest.raises(ArtifactError, match="must be at least 101"):
        source.read(cache, source.entries[0])
    assert source.fetched == []


def test_threads_that_ask_at_once_fetch_once(cache: Cache) -> None:
    source = Source(b"payload")
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: source.read(cache, source.entries[0]), range(16)))
    assert read == [b"payload"] * 16
    assert len(source.fetched) == 1


def test_a_folder_that_cannot_be_made_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = Source(b"x")
    with pytest.raises(ArtifactError, match="model cache"):
        source.read(Cache(tmp_path / "file" / "cache"), source.entries[0])


# --- a store's cache ----------------------------------------------------------------------------


def version_bytes(store: Store) -> int:
    return sum(entry.bytes for entry in store.manifest("v0.1").files.values())


@pytest.mark.parametrize("url", ["memory", "s3"], indirect=True)  # a folder is mapped directly
def test_a_version_in_memory_keeps_its_files_and_one_that_is_gone_does_not(
    url: str, tmp_path: Path
) -> None:
    plain = Store(url)
    for seed in range(3):
        plain.publish(some_arrays(seed=seed), a_description())
    room = int(version_bytes(plain) * 1.9)  # not for two whole versions, which share their ids
    store = Store(url, cache=Cache(tmp_path / "cache", room))
    first = store.open("v0.1")
    names = held(Cache(tmp_path / "cache"))
    for version in ("v0.2", "v0.3", "v0.2"):
        store.open(version)
        mapped = {
            entry.sha256
            for name, entry in store.manifest("v0.1").files.items()
            if name.endswith(".npy")
        }
        assert mapped <= held(Cache(tmp_path / "cache"))
    assert first.recommend([a_request(1, k=2)])[0].source == "model"
    del first
    for version in ("v0.3", "v0.2", "v0.3"):
        store.open(version)
    assert not names <= held(Cache(tmp_path / "cache"))
    used = sum(path.stat().st_size for path in (tmp_path / "cache").iterdir())
    assert used <= room


OPEN = """
import sys
from pathlib import Path
from registry.versions.file_cache import Cache
from registry.versions.store import Store

store = Store(sys.argv[1], cache=Cache(Path(sys.argv[2])))
downloads = []
download = store.objects.download
def counted(path, to):
    downloads.append(path)
    if sys.argv[3] == "dies" and len(downloads) == 3:
        to.write_bytes(b"half of it")
        print("half", flush=True)
        sys.stdin.readline()
    download(path, to)
store.objects.download = counted
store.versions()
print("ready", flush=True)
sys.stdin.readline()
model = store.open("v0.1")
print(len(downloads), flush=True)
sys.stdin.readline()
"""


def start(url: str, folder: Path, way: str = "lives") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, url, str(folder), way],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_two_processes_that_open_a_version_at_once_download_each_file_once(
    s3: str, tmp_path: Path
) -> None:
    url = f"{s3}/{tmp_path.name}/two"
    Store(url).publish(some_arrays(), a_description())
    cache = tmp_path / "cache"
    with start(url, cache) as first, start(url, cache) as other:
        assert [line(process) for process in (first, other)] == ["ready", "ready"]
        for process in (first, other):
            go(process)
        assert sum(int(line(process)) for process in (first, other)) == 9
        for process in (first, other):
            go(process)
    assert len(held(Cache(cache))) == 9


def test_a_process_killed_in_mid_download_holds_nobody_up_and_leaves_nothing_half(
    s3: str, tmp_path: Path
) -> None:
    url = f"{s3}/{tmp_path.name}/killed"
    Store(url).publish(some_arrays(), a_description())
    cache = tmp_path / "cache"
    with start(url, cache, "dies") as dying, ThreadPoolExecutor(1) as pool:
        assert line(dying) == "ready"
        go(dying)
        assert line(dying) == "half"
        writing = threading.Event()

        def open_here() -> str:
            writing.set()
            return Store(url, cache=Cache(cache)).open("v0.1").version

        waiting = pool.submit(open_here)
        writing.wait(5)
        dying.send_signal(signal.SIGKILL)
        assert waiting.result(timeout=30) == "v0.1"
    files = {path.name: path.read_bytes() for path in cache.iterdir() if path.name != ".lock"}
    assert len(files) == 9
    assert all(name == digest(payload) for name, payload in files.items())
