"""Residency: versions come and go beside the event loop, and a failed one is tried again."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from registry.catalogue.availability import Withdrawals
from registry.versions.model import Model
from registry.versions.store import Store
from streams.serving.residency import RETRY_SECONDS, Residency, versions_to_keep
from tests.unit.registry.builders import a_canary_state, a_description, a_state, some_arrays


class GatedStore(Store):
    """A store whose versions open only once the gate does; notes the threads that open them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.gate = threading.Event()
        self.threads: list[str] = []

    def open(self, version: str) -> Model:
        self.threads.append(threading.current_thread().name)
        assert self.gate.wait(60)
        return super().open(version)


@contextmanager
def a_residency(
    store: Store, on_loaded: Callable[[float], None] = lambda seconds: None
) -> Iterator[Residency]:
    residency = Residency(store, on_loaded)
    try:
        yield residency
    finally:
        residency.stop()


async def settled(residency: Residency, version: str) -> str:
    async with asyncio.timeout(60):
        while residency.residency_of(version) == "loading":
            await asyncio.sleep(0.001)
    return residency.residency_of(version)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def published(folder: Path) -> Store:
    store = Store(str(folder))
    store.publish(some_arrays(), a_description())
    return store


def test_nothing_is_resident_at_first(store: Store) -> None:
    with a_residency(store) as residency:
        assert (residency.ready, residency.failures) == ({}, {})
        assert residency.residency_of("v0.1") == "absent"


def test_wanted_versions_are_loaded_and_each_one_is_told(store: Store) -> None:
    async def story() -> None:
        seconds_loaded: list[float] = []
        with a_residency(store, seconds_loaded.append) as residency:
            residency.keep(["v0.2", "v0.1"], time.monotonic())
            assert [await settled(residency, version) for version in ("v0.1", "v0.2")] == [
                "ready"
            ] * 2
            assert sorted(residency.ready) == ["v0.1", "v0.2"]
            assert residency.ready["v0.2"].version == "v0.2"
            assert len(seconds_loaded) == 2

    run(story())


def test_a_version_is_loaded_off_the_event_loop(store: Store) -> None:
    async def story() -> None:
        gated = GatedStore(str(store.root))
        with a_residency(gated) as residency:
            residency.keep(["v0.1"], time.monotonic())
            async with asyncio.timeout(60):
                while not gated.threads:
                    await asyncio.sleep(0)  # the loop turns although the load hangs
            assert residency.residency_of("v0.1") == "loading"
            assert residency.ready == {}
            gated.gate.set()
            assert await settled(residency, "v0.1") == "ready"
            assert gated.threads == ["loader_0"]

    run(story())


def test_a_version_that_is_being_loaded_is_not_loaded_again(store: Store) -> None:
    async def story() -> None:
        gated = GatedStore(str(store.root))
        with a_residency(gated) as residency:
            for later in range(3):
                residency.keep(["v0.1"], time.monotonic() + later * RETRY_SECONDS)
                await asyncio.sleep(0.001)
            gated.gate.set()
            await settled(residency, "v0.1")
            residency.keep(["v0.1"], time.monotonic())
            assert residency.residency_of("v0.1") == "ready"
            assert len(gated.threads) == 1

    run(story())


def test_a_version_that_is_no_longer_wanted_is_let_go_of(store: Store) -> None:
    async def story() -> None:
        with a_residency(store) as residency:
            residency.keep(["v0.1", "v0.2"], time.monotonic())
            await settled(residency, "v0.1")
            await settled(residency, "v0.2")
            before = residency.ready
            residency.keep(["v0.2"], time.monotonic())
            assert list(residency.ready) == ["v0.2"]
            assert sorted(before) == ["v0.1", "v0.2"], "a batch under way keeps its models"

    run(story())


def test_a_version_let_go_of_while_it_was_being_loaded_does_not_stay(store: Store) -> None:
    async def story() -> None:
        gated = GatedStore(str(store.root))
        with a_residency(gated, lambda _: residency.keep([], time.monotonic())) as residency:
            residency.keep(["v0.1"], time.monotonic())
            gated.gate.set()
            assert await settled(residency, "v0.1") == "absent"

    run(story())


def test_a_version_that_does_not_load_is_reported_with_the_reason(tmp_path: Path) -> None:
    async def story() -> None:
        store = published(tmp_path)
        (store.root / "v0.1" / "als" / "popularity.npy").write_bytes(b"damaged")
        with a_residency(store) as residency:
            residency.keep(["v0.1", "v0.9"], time.monotonic())
            assert await settled(residency, "v0.1") == "failed"
            assert await settled(residency, "v0.9") == "failed"
            assert residency.ready == {}
            assert "als/popularity.npy has changed" in residency.failures["v0.1"]
            assert "which holds v0.1" in residency.failures["v0.9"]

    run(story())


def test_a_failure_that_nobody_foresaw_is_reported_as_well(store: Store) -> None:
    class Exhausted(Store):
        def open(self, version: str) -> Model:
            raise MemoryError("no room")

    async def story() -> None:
        with a_residency(Exhausted(str(store.root))) as residency:
            residency.keep(["v0.1"], time.monotonic())
            assert await settled(residency, "v0.1") == "failed"
            assert residency.failures == {"v0.1": "MemoryError: no room"}

    run(story())


def test_a_failed_load_is_tried_again_after_a_while_and_not_before(tmp_path: Path) -> None:
    async def story() -> None:
        store = Store(str(tmp_path))
        with a_residency(store) as residency:
            started = time.monotonic()
            residency.keep(["v0.1"], started)
            await settled(residency, "v0.1")
            published(tmp_path)
            residency.keep(["v0.1"], started + RETRY_SECONDS * 0.9)
            assert residency.residency_of("v0.1") == "failed"
            residency.keep(["v0.1"], time.monotonic() + RETRY_SECONDS)
            assert await settled(residency, "v0.1") == "ready"
            assert residency.failures == {}

    run(story())


def test_the_failure_of_a_version_that_is_no_longer_wanted_is_forgotten(tmp_path: Path) -> None:
    async def story() -> None:
        with a_residency(Store(str(tmp_path))) as residency:
            residency.keep(["v0.1"], time.monotonic())
            await settled(residency, "v0.1")
            residency.keep([], time.monotonic())
            assert (residency.failures, residency.residency_of("v0.1")) == ({}, "absent")

    run(story())


class Knot:
    """Garbage that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("moment", ["before the load", "during the load"])
def test_what_is_garbage_at_a_load_is_not_frozen_for_ever(tmp_path: Path, moment: str) -> None:
    store = GatedStore(str(tmp_path))
    store.publish(some_arrays(), a_description())

    async def story() -> weakref.ref[Knot]:
        with a_residency(store) as residency:
            knot = weakref.ref(Knot()) if moment == "before the load" else None
            residency.keep(["v0.1"], 0.0)
            while not store.threads:
                await asyncio.sleep(0.001)
            knot = knot or weakref.ref(Knot())
            store.gate.set()
            assert await settled(residency, "v0.1") == "ready"
            return knot

    gc.disable()  # the collector must not be faster by chance
    try:
        knot = asyncio.run(story())
        gc.collect()
        assert knot() is None
    finally:
        gc.enable()


def withdrawn(*item_ids: str) -> Withdrawals:
    return Withdrawals(frozenset(item_ids), len(item_ids))


async def hidden(residency: Residency) -> list[int]:
    async with asyncio.timeout(60):
        while residency.is_hiding:
            await asyncio.sleep(0.0005)
    return [residency.ready[version].withdrawn_items for version in sorted(residency.ready)]


def test_what_is_withdrawn_is_hidden_in_every_version_in_memory_and_can_come_back(
    store: Store,
) -> None:
    async def story() -> None:
        with a_residency(store) as residency:
            residency.keep(["v0.2", "v0.1"], time.monotonic())
            for version in ("v0.1", "v0.2"):
                await settled(residency, version)
            assert not residency.is_hiding
            residency.withdraw(withdrawn("film-1", "film-2"))
            assert residency.is_hiding
            assert await hidden(residency) == [2, 2]
            residency.withdraw(withdrawn("film-1"))
            residency.withdraw(withdrawn())
            assert await hidden(residency) == [0, 0]

    run(story())


def test_a_version_that_is_loaded_later_never_shows_what_is_withdrawn(store: Store) -> None:
    async def story() -> None:
        gated = GatedStore(str(store.root))
        with a_residency(gated) as residency:
            residency.withdraw(withdrawn("film-1"))
            residency.keep(["v0.1"], time.monotonic())
            async with asyncio.timeout(60):
                while not gated.threads:
                    await asyncio.sleep(0)
            residency.withdraw(withdrawn("film-1", "film-2"))
            gated.gate.set()
            await settled(residency, "v0.1")
            assert residency.ready["v0.1"].withdrawn_items == 2
            assert not residency.is_hiding

    run(story())


def test_a_version_that_is_let_go_of_while_items_are_hidden_does_not_come_back(
    store: Store,
) -> None:
    async def story() -> None:
        with a_residency(store) as residency:
            residency.keep(["v0.1"], time.monotonic())
            await settled(residency, "v0.1")
            residency.withdraw(withdrawn("film-1"))
            residency.keep([], time.monotonic())
            assert residency._hiding is not None
            await asyncio.wait_for(residency._hiding, 60)
            assert residency.ready == {}

    run(story())


def test_a_withdrawal_that_fails_in_one_version_is_logged_and_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hiding, failures = Model.hiding, iter([MemoryError("no room for the mask")])

    def hide(model: Model, withdrawals: Withdrawals) -> Model:
        for failure in failures:
            raise failure
        return hiding(model, withdrawals)

    async def story() -> None:
        with a_residency(store) as residency:
            residency.keep(["v0.2", "v0.1"], time.monotonic())
            for version in ("v0.1", "v0.2"):
                await settled(residency, version)
            residency.withdraw(withdrawn("film-1"))
            assert await hidden(residency) == [1, 1]

    monkeypatch.setattr("streams.serving.residency.RETRY_SECONDS", 0)
    monkeypatch.setattr(Model, "hiding", hide)
    run(story())
    assert "still shows what is withdrawn" in caplog.text
    assert "no room for the mask" in caplog.text


def test_no_version_is_kept_before_the_first_state() -> None:
    assert versions_to_keep(None, None) == ()


def test_the_versions_to_keep_are_the_newest_states_first_and_each_only_once() -> None:
    wanted = a_canary_state(previous_versions=("v0.0", "v0.7"))
    acting = a_canary_state(primary_version="v0.0", canary_version="v0.5")
    assert versions_to_keep(wanted, acting) == ("v0.1", "v0.2", "v0.0", "v0.5")


def test_what_is_acted_on_is_kept_while_the_newest_state_is_on_its_way() -> None:
    wanted = a_state(epoch=8, primary_version="v0.3", previous_versions=("v0.1",))
    assert versions_to_keep(wanted, a_canary_state()) == ("v0.3", "v0.1", "v0.2")


def test_one_previous_primary_is_kept_for_an_instant_rollback_and_no_more() -> None:
    state = a_state(previous_versions=("v0.3", "v0.2"))
    assert versions_to_keep(state, state) == ("v0.1", "v0.3")
