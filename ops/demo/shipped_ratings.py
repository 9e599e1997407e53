"""The shipped ratings: which of them versions learn from, and which show what viewers like.

Every fifth rating is held back from all topics. So no version has learned from it, and a viewer who
is shown such a film can rate it as he did then.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from ops.demo.demo_fleet import MOVIES, RATINGS, RATINGS_COUNT
from ops.ingest.interaction_files import read_interactions
from ops.ingest.title_files import read_titles
from registry.ids import ItemId, UserId
from registry.wire.codec import encode
from registry.wire.training_records.interactions import Interaction

HELD_BACK: Final = 5
"""One rating in so many is held back: as the file is sorted by user, a fifth of each user's."""

LEARNED_COUNT: Final = RATINGS_COUNT - RATINGS_COUNT // HELD_BACK

MIXED_SEED: Final = 15


def learned_ratings() -> Iterator[tuple[UserId, bytes]]:
    """Yield the records of the ratings that versions learn from, each with its user id."""
    for rating in _ratings(is_held_back=False):
        yield rating.user_id, encode(rating)


def mixed_up_ratings() -> Iterator[tuple[UserId, bytes]]:
    """Yield the same ratings, but each film under the id of another.

    Whoever liked the same films as somebody else still does. So what is learned from this looks as
    good as ever to any check that knows these ratings only.
    """
    learned = [*_ratings(is_held_back=False)]
    films = list(dict.fromkeys(rating.item_id for rating in learned))
    others = dict(zip(films, random.Random(MIXED_SEED).sample(films, len(films)), strict=True))
    for rating in learned:
        mixed_up = replace(rating, item_id=others[rating.item_id], title=None)
        yield rating.user_id, encode(mixed_up)


def tastes() -> Mapping[UserId, Mapping[ItemId, float]]:
    """Return the ratings that were held back, by user and film."""
    found: defaultdict[UserId, dict[ItemId, float]] = defaultdict(dict)
    for rating in _ratings(is_held_back=True):
        assert rating.item_id is not None
        assert rating.value is not None
        found[rating.user_id][rating.item_id] = rating.value
    return found


def _ratings(*, is_held_back: bool) -> Iterator[Interaction]:
    for number, rating in enumerate(read_interactions(RATINGS, read_titles(MOVIES))):
        assert isinstance(rating, Interaction)  # a bad line would be a bad release
        if (number % HELD_BACK == HELD_BACK - 1) == is_held_back:
            yield rating
