"""Overlaid lists: which of a version's new items join the lists of a batch.

Pure. What a request hides is hidden here, too: what its user has seen, items to exclude, withdrawn
items, and all but its candidates. A request that narrows by labels gets no new items, because a
version knows no labels of them; nor does one for items that are like others, nor a popular list.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence, Set
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.ids import ItemId, UserId
from registry.new_items.overlay import Overlay
from registry.wire.requests import Request
from registry.wire.responses import Item

EVERYTHING: Final = float("-inf")


class KnownList(NamedTuple):
    """What a request gets of the version's own items, and the vector that ranks them, if any.

    Parameters
    ----------
    request, vector
        Who asks, and by what it is ranked.
    scores
        Of the best items that the request may be shown, best first.
    """

    request: Request
    vector: NDArray[np.float32] | None
    scores: Sequence[float]


def new_in_lists(
    lists: Sequence[KnownList],
    overlay: Overlay,
    most: int,
    seen_by: Callable[[UserId], Set[ItemId]],
    withdrawn: Container[ItemId],
) -> dict[int, list[Item]]:
    """Return the best new items of each list that may get any, by its place, `most` at most.

    They are to be :func:`registry.new_items.overlay.joined` to the list.

    Parameters
    ----------
    lists
        Of the requests of a batch.
    overlay, most
        The new items, and how many of a list may be new.
    seen_by
        Returns the new items that a user has interacted with.
    withdrawn
        Items that no answer may show.
    """
    found: dict[int, list[Item]] = {}
    places = [place for place, known in enumerate(lists) if _may_have_new(known)]
    vectors = [vector for place in places if (vector := lists[place].vector) is not None]
    if not vectors:
        return found
    floors = [_floor(lists[place]) for place in places]
    for number, reach in overlay.within_reach(np.stack(vectors), floors).items():
        known = lists[places[number]]
        hidden = _hidden_from(known.request, seen_by)
        shown = [
            place
            for place in reach.tolist()
            if (item_id := overlay.item_ids[place]) not in withdrawn
            and item_id not in hidden
            and (known.request.candidates is None or item_id in known.request.candidates)
        ]
        if shown:
            found[places[number]] = overlay.best(vectors[number], np.array(shown, np.int32), most)
    return found


def _may_have_new(known: KnownList) -> bool:
    request = known.request
    narrows = request.like, request.allow, request.exclude
    return known.vector is not None and narrows == (None, None, None)


def _floor(known: KnownList) -> float:
    """Return the score that a new item needs at least."""
    return known.scores[-1] if len(known.scores) >= known.request.k else EVERYTHING


def _hidden_from(request: Request, seen_by: Callable[[UserId], Set[ItemId]]) -> Set[ItemId]:
    hidden = set(request.exclude_items)
    if not request.exclude_seen:
        return hidden
    hidden.update(item.item_id for item in request.items or ())
    seen = seen_by(request.user_id) if request.user_id is not None else ()
    return hidden.union(seen)
