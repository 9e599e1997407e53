"""What ranks a user's items: the version's own vector, one that is solved anew, or popularity.

Pure: a table of facts about one user and one version.

A stored and a recomputed vector are not the same: a fit ends on the item step. So where versions
are compared, a user whose fresh events count for one of them is recomputed for each.
"""

from __future__ import annotations

from typing import NamedTuple

from registry.wire.responses import VectorSource


class UserFacts(NamedTuple):
    """What is known of one user and one version.

    Parameters
    ----------
    learned
        The version has a vector for the user that is not all zeros.
    mergeable
        The version keeps what events are merged with (format 2).
    forgotten
        The user sent a `forget` at or after the end of the version's snapshot.
    fresh
        Fresh events count: of items that the version knows, and of kinds with a weight.
    compared_fresh
        They do for another version that this one is compared with.
    weighted
        Items that the version knows and that weigh more than 0, of learned and fresh events
        together; without the learned ones if `forgotten`.
    """

    learned: bool
    mergeable: bool = True
    forgotten: bool = False
    fresh: bool = False
    compared_fresh: bool = False
    weighted: int = 0


def vector_source(user: UserFacts, fold_in_least: int) -> VectorSource:
    """Return what ranks the user's items.

    =========================== ======================================================
    user                        source
    =========================== ======================================================
    known, nothing fresh        ``model``
    known, something fresh      ``recomputed``; ``model`` if the version cannot merge;
                                ``popular`` if nothing weighs anything any more
    unknown, or forgotten       ``fold_in`` from `fold_in_least` weighted items on;
                                ``popular`` below, or if the version cannot merge
    =========================== ======================================================

    Parameters
    ----------
    user
        The facts.
    fold_in_least
        Weighted items that a new user needs; at least 1.

    Examples
    --------
    >>> vector_source(UserFacts(learned=False, fresh=True, weighted=3), 3)
    'fold_in'
    >>> vector_source(UserFacts(learned=True, fresh=True, weighted=1), 3)
    'recomputed'
    """
    if user.learned and not user.forgotten:
        if not user.mergeable or not (user.fresh or user.compared_fresh):
            return "model"
        return "recomputed" if user.weighted else "popular"
    return "fold_in" if user.mergeable and user.weighted >= fold_in_least else "popular"
