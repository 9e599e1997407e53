"""Whether a training could publish here: checked when the worker starts, not after hours of a fit.

Knows the last result. Must not know trainings. Checks again only while something is wrong, because
a check writes an object and removes it.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from registry.error_codes import NoticeCode
from registry.errors import ArtifactError
from registry.versions.store import Store
from streams.watch.notices import Notice

LOOK_SECONDS: Final = 60.0


class PublishingCheck:
    """Remembers why nothing can be published.

    Parameters
    ----------
    store
        The registry.
    writes
        Whether this worker publishes by a timer; one that does not may have a read-only registry.
    """

    def __init__(self, store: Store, *, writes: bool) -> None:
        self._store = store
        self._writes = writes
        self._problem: str | None = None
        self._next_at = -math.inf

    async def look(self, now: float) -> None:
        """Check if it is due; `now` is in seconds, on a monotonic clock. Writes in a thread."""
        if now < self._next_at:
            return
        self._next_at = math.inf  # one look at a time
        try:
            await asyncio.to_thread(self._store.require_publishable, write=self._writes)
        except ArtifactError as error:
            self._problem, self._next_at = str(error), now + LOOK_SECONDS
        else:
            self._problem = None

    def notice(self) -> Notice | None:
        """Return what to say of it; None if all is well."""
        if self._problem is None:
            return None
        return Notice(
            NoticeCode.REGISTRY_NOT_WRITABLE,
            f"{self._problem}. A training run would fail; serving is not affected",
        )
