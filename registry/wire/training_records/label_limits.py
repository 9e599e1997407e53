"""The limits of labels: how many an item may have, values of each, and characters of a value.

A record or a filter beyond them is refused.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

LABEL_CHARACTERS: Final = 100
MOST_LABELS: Final = 32
"""Labels of an item, and values of a label: an item's record stays below 330 KB."""

LabelText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=LABEL_CHARACTERS)]
LabelValues: TypeAlias = Annotated[list[LabelText], Meta(max_length=MOST_LABELS)]
