"""Event weights: how much each kind of event counts, and the grammar of ``RETRAIN_EVENT_WEIGHTS``.

Knows the values and their spelling; :mod:`registry.weighing` has the formula. Must not
know events or settings.

The grammar is ``KIND=WEIGHT[:TRANSFORM][:OPTION=VALUE]…``, one for each kind, separated by commas::

    watch=1,click=0.5,rate=1:auto:floor=2,play=1:log,purchase=3:bm25:k1=100:b=0.8:per=item

``KIND=undo:TARGET`` is a kind that takes events of another back, such as ``unlike=undo:like``.
:mod:`registry.undo_events` has the rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias, get_args

from msgspec import Meta, Struct, convert

Transform: TypeAlias = Literal["auto", "linear", "log", "sqrt", "binary", "bm25"]
Side: TypeAlias = Literal["item", "user"]

TRANSFORMS: Final[tuple[str, ...]] = get_args(Transform)
SIDES: Final[tuple[str, ...]] = get_args(Side)

MOST_KINDS: Final = 64
"""Kinds that one setting may name: each takes 4 bytes a pair of user and item in a training."""

LARGEST: Final = 1e6
"""Bound of weights, floors and K1: with the largest value of an event, float32 still holds it."""

KIND_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_.-]*(?!\n)$"
"""Python's ``$`` alone would also end before a line break at the end."""

LONGEST_KIND: Final = 64

FORGET: Final = "forget"
"""The event that removes what its user did before it. It has no weight."""

UNDO: Final = "undo"
"""In the place of a weight: what the kind takes back follows."""

DEFAULT: Final = "watch=1:auto,click=0.5:auto,rate=1:auto:floor=2"
"""What ``RETRAIN_EVENT_WEIGHTS`` is unless it is set."""


class EventWeight(Struct, frozen=True):
    """How much a kind of event counts. A ``value`` is a count or a strength; the default is 1.

    Parameters
    ----------
    weight
        What the transformed value is multiplied by. 0: the event is not learned, and its item
        counts as seen.
    transform
        What is made of ``value - floor``. ``auto`` becomes ``linear`` or ``log`` before a fit, by
        the values that there are.
    floor
        Subtracted from the value first: below it, a value counts against the others.
    k1, b, per
        For ``bm25``: saturation; share of the length normalization; whose length is normalized.
    undoes
        The kind whose events it takes back; it weighs nothing then. None: it takes nothing back.
    """

    weight: Annotated[float, Meta(ge=0, le=LARGEST)]
    transform: Transform = "linear"
    floor: Annotated[float, Meta(ge=-LARGEST, le=LARGEST)] = 0.0
    k1: Annotated[float, Meta(gt=0, le=LARGEST)] = 100.0
    b: Annotated[float, Meta(ge=0, le=1)] = 0.8
    per: Side = "item"
    undoes: str | None = None

    def __str__(self) -> str:
        """Return the spelling of the setting, without what is the default.

        >>> str(EventWeight(0.5, "bm25", k1=1.2))
        '0.5:bm25:k1=1.2'
        """
        if self.undoes is not None:
            return f"{UNDO}:{self.undoes}"
        parts = [_spelled(self.weight)]
        if self.transform != "linear":
            parts.append(self.transform)
        if self.floor:
            parts.append(f"floor={_spelled(self.floor)}")
        if self.transform == "bm25":
            parts += [
                f"{name}={value if isinstance(value, str) else _spelled(value)}"
                for name, value in (("k1", self.k1), ("b", self.b), ("per", self.per))
                if value != getattr(_PLAIN, name)
            ]
        return ":".join(parts)


_PLAIN: Final = EventWeight(1.0)

EventWeights: TypeAlias = Mapping[str, EventWeight]
"""By kind of event. A kind that is missing is ignored, and counted as ``no_weight``."""


def parse_event_weights(text: str) -> dict[str, EventWeight]:
    """Return the weights that `text` spells.

    Raises
    ------
    ValueError
        Naming what was seen and what is allowed.

    Examples
    --------
    >>> {kind: str(weight) for kind, weight in parse_event_weights("play=2:log").items()}
    {'play': '2:log'}
    >>> parse_event_weights("play=much")
    Traceback (most recent call last):
    ValueError: 'play=much': weight 'much' must be a number from 0 to 1e+06
    """
    found: dict[str, EventWeight] = {}
    for part in text.split(","):
        kind, weight = _parse_part(part.strip())
        if kind in found:
            raise ValueError(f"{kind!r} is given twice; each kind has one weight")
        found[kind] = weight
    if len(found) > MOST_KINDS:
        raise ValueError(f"{len(found)} kinds of events; at most {MOST_KINDS} can have a weight")
    if not any(weight.weight for weight in found.values()):
        raise ValueError("every weight is 0, so nothing could be learned; one must be above 0")
    for kind, weight in found.items():
        if weight.undoes is not None:
            _require_target(kind, weight.undoes, found)
    return found


def undo_targets(weights: EventWeights) -> dict[str, str]:
    """Return, by kind of undo, the kind whose events it takes back.

    >>> undo_targets(parse_event_weights("like=1,unlike=undo:like"))
    {'unlike': 'like'}
    """
    return {kind: weight.undoes for kind, weight in weights.items() if weight.undoes is not None}


def kinds_weighed(weights: EventWeights) -> tuple[str, ...]:
    """Return the kinds that have a weight, 0 included: those that take nothing back.

    >>> kinds_weighed(parse_event_weights("like=1,unlike=undo:like,view=0"))
    ('like', 'view')
    """
    return tuple(kind for kind, weight in weights.items() if weight.undoes is None)


def spell_event_weights(weights: EventWeights) -> str:
    """Return the text that :func:`parse_event_weights` reads `weights` from.

    >>> spell_event_weights(parse_event_weights(DEFAULT)) == DEFAULT
    True
    """
    return ",".join(f"{kind}={weight}" for kind, weight in weights.items())


def _parse_part(part: str) -> tuple[str, EventWeight]:
    kind, is_given, rest = part.partition("=")
    kind, words = kind.strip(), [word.strip() for word in rest.split(":")]
    if not is_given or not re.match(KIND_PATTERN, kind) or len(kind) > LONGEST_KIND:
        raise ValueError(
            f"{part!r}: must be KIND=WEIGHT[:TRANSFORM][:OPTION=VALUE]…, like play=1:log; a kind "
            f"begins with a letter and has letters, digits, '_', '.' or '-', at most {LONGEST_KIND}"
        )
    if kind == FORGET:
        raise ValueError(f"{part!r}: a forget removes events, and cannot have a weight")
    if words[0] == UNDO:
        return kind, _undo(part, words[1:])
    given: dict[str, float | str] = {"weight": _number(part, "weight", words[0], 0, LARGEST)}
    for word in words[1:]:
        name, value = _option(part, word)
        if name in given:
            raise ValueError(f"{part!r}: {name} is given twice")
        given[name] = value
    if given.get("transform") != "bm25" and (extra := given.keys() & {"k1", "b", "per"}):
        raise ValueError(
            f"{part!r}: {', '.join(sorted(extra))} are options of the transform bm25 only"
        )
    return kind, convert(given, EventWeight)


def _undo(part: str, words: list[str]) -> EventWeight:
    if len(words) != 1:
        raise ValueError(f"{part!r}: must be KIND=undo:TARGET, like unlike=undo:like")
    return EventWeight(0.0, undoes=words[0])


def _require_target(kind: str, target: str, weights: EventWeights) -> None:
    if target not in weights or weights[target].undoes is not None:
        allowed = ", ".join(kinds_weighed(weights))
        raise ValueError(
            f"'{kind}=undo:{target}': {target!r} has no weight here; an undo takes back events of "
            f"a kind that has one: {allowed}"
        )


def _option(part: str, word: str) -> tuple[str, float | str]:
    name, is_option, value = word.partition("=")
    if not is_option:
        if word not in TRANSFORMS:
            raise ValueError(
                f"{part!r}: {word!r} is not a transform; use one of {', '.join(TRANSFORMS)}"
            )
        return "transform", word
    if name == "per":
        if value not in SIDES:
            raise ValueError(f"{part!r}: per={value!r} must be one of {', '.join(SIDES)}")
        return name, value
    if name not in _BOUNDS:
        raise ValueError(f"{part!r}: {name!r} is not an option; use one of floor, k1, b, per")
    return name, _number(part, name, value, *_BOUNDS[name])


_BOUNDS: Final = {"floor": (-LARGEST, LARGEST), "k1": (0.0, LARGEST), "b": (0.0, 1.0)}


def _number(part: str, name: str, text: str, low: float, high: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high or (name == "k1" and number == 0):
        least = f"above {low:g}" if name == "k1" else f"from {low:g}"
        raise ValueError(f"{part!r}: {name} {text!r} must be a number {least} to {high:g}")
    return number


def _spelled(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)
