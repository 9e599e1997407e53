"""The transform ``auto`` of an event weight becomes ``log`` or ``linear``, by the values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from registry.wire.training_records.event_weights import EventWeight, EventWeights

LINEAR_UP_TO: Final = 10.0
"""``auto`` is linear up to this value: scales of ratings end here or before; counts do not."""


def settled(weights: EventWeights, largest: Mapping[str, float]) -> dict[str, EventWeight]:
    """Return the weights with ``linear`` or ``log`` in the place of ``auto``.

    ``log`` as soon as one value of the kind is beyond ±`LINEAR_UP_TO`: it is the safe mistake, for
    a single value of 100,000 would otherwise drown all others.

    Parameters
    ----------
    weights
        As the settings give them.
    largest
        The largest absolute value of each kind that there is.

    Examples
    --------
    >>> from registry.wire.training_records.event_weights import (
    ...     parse_event_weights,
    ...     spell_event_weights,
    ... )
    >>> weights = parse_event_weights("watch=1:auto,rate=1:auto")
    >>> spell_event_weights(settled(weights, {"watch": 352_698.0, "rate": 5.0}))
    'watch=1:log,rate=1'
    """
    return {
        kind: replace(weight, transform="log" if largest.get(kind, 0) > LINEAR_UP_TO else "linear")
        if weight.transform == "auto"
        else weight
        for kind, weight in weights.items()
    }
