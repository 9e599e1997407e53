"""What ``bench load`` runs in processes of their own: a publisher, and those who open a version.

``python -m ops.bench.sides.load_sides publish URL SHAPE`` or ``mapped|copied URL CACHE VERSION``;
prints JSON lines. Knows the parts of a publication and of a load; must not know workers or the
bars. Linux only: memory is read from ``/proc``.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from ops.bench.rig.synthetic import Shape, arrays_of, description_of
from registry.heap_trim import trim_memory
from registry.scoring.model_arrays import ModelArrays
from registry.versions.artifact_format import read_artifact, write_artifact
from registry.versions.checksums import entry_of
from registry.versions.file_cache import Cache
from registry.versions.manifest import Manifest
from registry.versions.model import Model
from registry.versions.publication import ARTIFACT
from registry.versions.store import Store

SEED: Final = 42

Found = TypeVar("Found")


class Memory(Struct, frozen=True):
    """Of one process, in bytes; shared pages count in full, and by this process's share."""

    resident: int
    proportional: int

    def grown_from(self, before: Memory) -> Memory:
        """Return what came on top of `before`."""
        return Memory(self.resident - before.resident, self.proportional - before.proportional)


class PublicationTimes(Struct, frozen=True):
    """A publication, whole, and its largest parts on their own."""

    version: str
    array_bytes: int
    file_bytes: int
    seconds: float
    seconds_by_part: dict[str, float]


class Opened(Struct, frozen=True):
    """A version that is ready to answer in one process, and the memory that it takes there."""

    seconds: float
    array_bytes: int
    memory: Memory


def memory_of(pid: int | str = "self") -> Memory:
    """Return the memory of a process of this user, without the programs' own code.

    The share of a library's pages changes with every other process that starts or ends.
    """
    resident = proportional = 0
    is_code = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *words = line.split()
        if not name.endswith(":"):  # a mapping: addresses, rights, offset, device, inode, path
            path = words[4] if len(words) > 4 else ""
            is_code = ".so" in path or "/bin/" in path
        elif name == "Rss:" and not is_code:
            resident += int(words[0]) * 1024
        elif name == "Pss:" and not is_code:
            proportional += int(words[0]) * 1024
    return Memory(resident, proportional)


def publish(url: str, shape: Shape) -> PublicationTimes:
    """Publish a version, and do the largest parts of that once more, each on its own."""
    arrays, store = arrays_of(shape, SEED), Store(url)
    seconds, manifest = timed(lambda: store.publish(arrays, description_of(shape, SEED)))
    with tempfile.TemporaryDirectory(prefix="recstream-load-") as name:
        folder = Path(name)
        written, _ = timed(lambda: write_artifact(arrays, folder))
        digested, _ = timed(lambda: _digest(sorted(folder.iterdir())))
    return PublicationTimes(
        version=manifest.version,
        array_bytes=sum(array.nbytes for array in _columns(arrays).values()),
        file_bytes=sum(entry.bytes for entry in manifest.files.values()),
        seconds=seconds,
        seconds_by_part={"check, write": written, "digest": digested},
    )


def mapped(store: Store, manifest: Manifest, _paths: Mapping[str, Path]) -> Model:
    """Open a version as a worker does."""
    return store.open(manifest.version)


def copied(_store: Store, manifest: Manifest, paths: Mapping[str, Path]) -> Model:
    """Do the same with arrays that ``np.load`` has read into this process's own memory."""
    _digest(paths.values())
    arrays = read_artifact(lambda name: paths[name].open("rb"))
    own: dict[str, Any] = {name: np.load(paths[f"{name}.npy"]) for name in _columns(arrays)}
    model = Model(manifest, replace(arrays, **own))
    trim_memory()
    return model


WAYS: Final = {"mapped": mapped, "copied": copied}


def parts(manifest: Manifest, paths: Mapping[str, Path]) -> dict[str, float]:
    """Return the seconds of each part of opening a version, in their order."""
    digested, _ = timed(lambda: _digest(paths.values()))
    read, arrays = timed(lambda: read_artifact(lambda name: paths[name].open("rb")))
    indexed, model = timed(lambda: Model(manifest, arrays))
    warmed, _ = timed(model.warm)
    return {
        "digest": digested,
        "map, parse, check": read,
        "index": indexed,
        "warm": warmed,
    }


def open_in_steps(way: str, url: str, cache: str, version: str) -> None:
    """Open a version and tell so; tell of its memory, and then of the parts, each when asked."""
    store = Store(url, cache=Cache(Path(cache)))
    manifest = store.manifest(version)
    paths = _paths(store, Path(cache), manifest)
    gc.collect()
    before = memory_of()
    seconds, model = timed(lambda: _warmed(WAYS[way](store, manifest, paths)))
    gc.collect()
    _tell("ready")
    sys.stdin.readline()
    _tell(Opened(seconds, model.size_bytes, memory_of().grown_from(before)))
    if sys.stdin.readline():  # one side is asked, the other's input ends
        del model
        _tell(parts(manifest, paths))


def timed(work: Callable[[], Found]) -> tuple[float, Found]:
    """Return the seconds that `work` took, and what it returned."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def _warmed(model: Model) -> Model:
    model.warm()
    return model


def _columns(arrays: ModelArrays) -> dict[str, npt.NDArray[Any]]:
    columns = {column.name: getattr(arrays, column.name) for column in fields(arrays)}
    return {name: array for name, array in columns.items() if isinstance(array, np.ndarray)}


def _paths(store: Store, cache: Path, manifest: Manifest) -> dict[str, Path]:
    """Return where each file of the artifact is on this machine: in the registry or the cache."""
    found = {}
    for name, entry in manifest.files.items():
        folder, _, file = name.rpartition("/")
        if folder == ARTIFACT:
            local = store.objects.folder
            found[file] = local / manifest.version / name if local else cache / entry.sha256
    return found


def _digest(paths: Iterable[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            entry_of(file)


def _tell(what: object) -> None:
    print(msgspec.json.encode(what).decode(), flush=True)


def main(words: Sequence[str]) -> int:
    """Publish, or open."""
    side, url, *more = words
    if side == "publish":
        _tell(publish(url, msgspec.json.decode(more[0], type=Shape)))
    else:
        open_in_steps(side, url, *more)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
