"""Why a version that a command names cannot be served: unknown, damaged, or its files are gone.

Looked up before the command is decided (`unusable_version`).
"""

from __future__ import annotations

import asyncio

from registry.errors import DamagedVersion, RecstreamError, UnknownVersion
from streams.serving.residency import Residency


async def problem_of(
    version: str, residency: Residency, *, from_memory: bool = False
) -> str | None:
    """Find out whether `version` can be served; return why not, without naming it again.

    Parameters
    ----------
    version
        Which one.
    residency
        The versions in memory, and the store of all.
    from_memory
        One that is in memory needs no files: a rollback must work while the registry does not.
        Otherwise it needs them, because the next worker that starts does, unless the registry does
        not answer.
    """
    resident = version in residency.ready
    if resident and from_memory:
        return None
    try:
        if resident:
            await asyncio.to_thread(residency.store.require_files, version)
        else:
            await residency.read(residency.store.verify, version)
    except RecstreamError as error:
        why = str(error).removeprefix("version ").removeprefix(f"{version}: ")
        if not resident:
            return why
        if isinstance(error, UnknownVersion | DamagedVersion):
            return f"is in memory only, so a new worker could not load it: {why}"
    return None
