"""The registry's manifests, as the pages list them: read once each, since they never change."""

from __future__ import annotations

import math
import time
from typing import Final, NamedTuple

from registry.errors import RecstreamError
from registry.versions.manifest import Manifest
from registry.versions.store import Store
from streams.state.rollout_view import RolloutView

LIST_SECONDS: Final = 10.0
"""How old the page's list of the registry may be, where nothing is announced."""


class _Listing(NamedTuple):
    """The manifests, what had been seen by then, and when, by the monotonic clock."""

    seen: tuple[object, ...]
    manifests: tuple[Manifest, ...]
    at: float


class RegistryListing:
    """Lists the registry; `view` shows when something may have been published."""

    def __init__(self, store: Store, view: RolloutView) -> None:
        self._store = store
        self._view = view
        self._manifests: dict[str, Manifest] = {}
        self._listing = _Listing((), (), -math.inf)

    def manifests(self) -> tuple[Manifest, ...]:
        """Return the registry's manifests that can be read, newest first. Reads files."""
        store = self._store
        found: dict[str, Manifest] = {}
        for version in reversed(store.versions()):
            try:
                found[version] = self._manifests.get(version) or store.manifest(version)
            except RecstreamError:
                continue  # `registry verify` says why; a page must not fail for it
        self._manifests = found
        return tuple(found.values())

    def latest(self) -> tuple[Manifest, ...]:
        """Return the manifests, listed again after any event that may have added one, and at times.

        Reads files only then.
        """
        view = self._view
        run = view.training.run_id if view.training and view.training.result else ""
        seen = (view.log.last_offset, run)
        now = time.monotonic()
        if seen != self._listing.seen or now - self._listing.at > LIST_SECONDS:
            self._listing = _Listing(seen, self.manifests(), now)
        return self._listing.manifests
