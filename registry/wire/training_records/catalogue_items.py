"""Items of the catalogue (topic ``items``): titles, labels, and until when each may be shown."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from registry.wire.field_types import Id
from registry.wire.training_records.label_limits import MOST_LABELS, LabelText, LabelValues

TITLE_CHARACTERS: Final = 500
"""Maximum number of characters of a title, as in an interaction."""

EARLIEST_MILLISECONDS: Final = 1e11
"""As seconds that is the year 5138: larger times are milliseconds, by mistake."""

Moment: TypeAlias = Annotated[float, Meta(ge=0, lt=EARLIEST_MILLISECONDS)]


class CatalogueItem(Struct, frozen=True, omit_defaults=True):
    """What is known of an item (topic ``items``, keyed by item id): the newest record counts.

    ``labels`` are values by label, such as ``{"genre": ["Crime", "Drama"]}``. An item that is
    ``withdrawn``, or whose ``available_until`` (seconds since the epoch) is past by a worker's
    clock, is in no answer. A record without a value removes the item's entry: the item may be shown
    again, with the title from its interactions.
    """

    item_id: int | Id
    title: Annotated[str, Meta(max_length=TITLE_CHARACTERS)] | None = None
    labels: Annotated[dict[LabelText, LabelValues], Meta(max_length=MOST_LABELS)] = {}
    available_until: Moment | None = None
    withdrawn: bool = False
