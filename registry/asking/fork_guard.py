"""After a fork: a client belongs to the process that used it first, and to no child of it."""

from __future__ import annotations

import os

from registry.errors import ClientClosed


def is_own_process(owner: int | None) -> bool:
    """Tell whether this process is the client's `owner`; None: it has not been used yet."""
    return owner in (None, os.getpid())


def require_own_process(owner: int | None) -> None:
    """Refuse a client that was used before this process was forked from its `owner`.

    Raises
    ------
    ClientClosed
        It belongs to the process that this one was forked from.
    """
    if not is_own_process(owner):
        raise ClientClosed(
            f"the client belongs to process {owner}, from which this one was forked; "
            "each process needs its own"
        )
