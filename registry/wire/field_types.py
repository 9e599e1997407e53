"""Field types that several messages share: ids, words, strategies, bounds."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

ID_CHARACTERS: Final = 200
"""Most characters of an id that a user, a request or a command may have."""

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=ID_CHARACTERS)]
Word: TypeAlias = Annotated[str, Meta(max_length=100)]
Variant: TypeAlias = Literal["primary", "canary", "A", "B"]
Strategy: TypeAlias = Literal["fixed", "canary", "ab_test", "shadow", "interleave"]
Bucketing: TypeAlias = Literal["modulo", "hash"]


class AnswerError(Struct, frozen=True):
    """Why an answer holds no items."""

    code: str
    message: str
