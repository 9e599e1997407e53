"""Resident versions: loaded, checked and warmed off the event loop, side by side.

Knows which versions are in memory and which are being loaded. Must not know which version answers
which user. A version that fails to load is retried later; serving continues meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from registry.catalogue.availability import NOTHING_WITHDRAWN, Withdrawals
from registry.errors import RecstreamError
from registry.versions.model import Model
from registry.versions.store import Store
from registry.wire.rollout_state import RolloutState

logger = logging.getLogger(__name__)

Read = TypeVar("Read")

RETRY_SECONDS: Final = 5.0
"""After a failed load, or a withdrawal that failed. Shorter only repeats the failure; longer delays
a repaired registry."""

PREVIOUS_RESIDENT: Final = 1
"""Previous primaries kept in memory: `rollback` is then instant. Each costs a model's memory."""


def versions_to_keep(wanted: RolloutState | None, acting: RolloutState | None) -> tuple[str, ...]:
    """Return the versions that must be in memory, most important first."""
    if wanted is None:
        return ()
    previous = wanted.previous_versions[:PREVIOUS_RESIDENT]
    named = [wanted.primary_version, wanted.canary_version, *previous]
    if acting is not None:
        named += [acting.primary_version, acting.canary_version]
    return tuple(dict.fromkeys(version for version in named if version is not None))


class Residency:
    """The versions that this worker has in memory. All methods but the loading run on the loop."""

    def __init__(self, store: Store, on_loaded: Callable[[float], None]) -> None:
        self.store = store
        self._on_loaded = on_loaded
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._ready: dict[str, Model] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._reading: set[Future[Any]] = set()
        self._withdrawals = NOTHING_WITHDRAWN
        self._hider = ThreadPoolExecutor(1, thread_name_prefix="withdrawals")
        self._hiding: asyncio.Task[None] | None = None

    @property
    def is_reading(self) -> bool:
        """Whether a version is being read; reading continues after `stop`, for as long as it
        takes.
        """
        return any(reading.running() for reading in self._reading)

    @property
    def ready(self) -> Mapping[str, Model]:
        """The versions that can answer, replaced whole at each change."""
        return self._ready

    @property
    def failures(self) -> Mapping[str, str]:
        """Why a version could not be loaded, by version."""
        return {version: why for version, (_, why) in self._failed.items()}

    def residency_of(self, version: str) -> str:
        """Return ``ready``, ``loading``, ``failed`` or ``absent``."""
        if version in self._ready:
            return "ready"
        if version in self._loading:
            return "loading"
        return "failed" if version in self._failed else "absent"

    def keep(self, versions: Sequence[str], now: float) -> None:
        """Load what is missing of `versions`, and let go of all others.

        Parameters
        ----------
        versions
            The versions wanted, most important first.
        now
            Seconds of a monotonic clock, for retries.
        """
        self._ready = {
            version: model for version, model in self._ready.items() if version in versions
        }
        self._failed = {
            version: seen for version, seen in self._failed.items() if version in versions
        }
        for version in versions:
            tried_at = self._failed.get(version, (now - RETRY_SECONDS, ""))[0]
            absent = version not in self._ready and version not in self._loading
            if absent and now - tried_at >= RETRY_SECONDS:
                self._loading[version] = asyncio.create_task(self._load(version))

    async def read(self, act: Callable[[str], Read], version: str) -> Read:
        """Let `act` read `version` in the loader's thread, after what it reads already."""
        reading = self._loader.submit(act, version)
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        return await asyncio.wrap_future(reading)

    @property
    def is_hiding(self) -> bool:
        """Whether a version in memory still shows what was withdrawn."""
        return any(self._is_outdated(model) for model in self._ready.values())

    def withdraw(self, withdrawals: Withdrawals) -> None:
        """Let no version in memory, nor one that is loaded later, show these items, and no others.

        That is done beside the event loop, a version at a time: what is being answered meanwhile
        is answered by what was withdrawn before.
        """
        self._withdrawals = withdrawals
        if self._hiding is None or self._hiding.done():
            self._hiding = asyncio.create_task(self._hide())

    def stop(self) -> None:
        """Let go of the threads; a load in progress ends by itself."""
        if self._hiding is not None:
            self._hiding.cancel()
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._hider.shutdown(wait=False, cancel_futures=True)

    async def _hide(self) -> None:
        while outdated := [model for model in self._ready.values() if self._is_outdated(model)]:
            failed = [model.version for model in outdated if not await self._replace(model)]
            if failed:
                await asyncio.sleep(RETRY_SECONDS)

    async def _replace(self, model: Model) -> bool:
        """Hide what is withdrawn by now in a version in memory; tell whether that went well."""
        try:
            made = await self._made_current(model)
        except Exception:  # the edge of a task of its own: nobody else would learn of it
            logger.exception("%s still shows what is withdrawn; trying again", model.version)
            return False
        if self._ready.get(made.version) is model:  # it was not let go of meanwhile
            self._ready = {**self._ready, made.version: made}
        return True

    async def _made_current(self, model: Model) -> Model:
        """Return `model` without what is withdrawn by now."""
        while self._is_outdated(model):
            hiding = self._hider.submit(model.hiding, self._withdrawals)
            model = await asyncio.wrap_future(hiding)
        return model

    def _is_outdated(self, model: Model) -> bool:
        return model.withdrawals is not self._withdrawals

    async def _load(self, version: str) -> None:
        try:
            model, seconds = await self.read(self._open, version)
            model = await self._made_current(model)
        except RecstreamError as error:
            self._note_failure(version, str(error))
        except Exception as error:  # the outermost edge of a background load: reported, retried
            self._note_failure(version, f"{type(error).__name__}: {error}")
        else:
            self._failed = {name: why for name, why in self._failed.items() if name != version}
            self._ready = {**self._ready, version: model}
            _freeze()
            self._on_loaded(seconds)
        finally:
            del self._loading[version]

    def _note_failure(self, version: str, why: str) -> None:
        """Replace the failures whole: the page reads them in a thread of its own."""
        self._failed = {**self._failed, version: (time.monotonic(), why)}

    def _open(self, version: str) -> tuple[Model, float]:
        gc.collect()  # what is garbage now must not be frozen; what was frozen before is not walked
        started = time.monotonic()
        model = self.store.open(version)
        model.warm()
        return model, time.monotonic() - started


def _freeze() -> None:
    """Spare the collector a model's ids and titles: millions of objects, all of which stay.

    Everything is frozen that is there, and what is garbage by then stays for ever: a swap every few
    seconds under traffic adds up. So the young are collected right before; the old were so when the
    loading began. A model must not refer to itself, or it stays when it is let go of.
    """
    gc.collect(0)
    gc.freeze()
