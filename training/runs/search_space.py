"""What a search for better parameters varies: hyperparameters, weights and transforms of events.

Pure, except that it asks Optuna's trial for values. Must not know fits, nor how a trial is judged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec import structs

from registry.versions.manifest import Parameters
from registry.wire.training_records.event_weights import LARGEST
from training.data.matrix import Cells

if TYPE_CHECKING:
    from optuna.trial import Trial as Asked

SPACE: Final[dict[str, tuple[float, float]]] = {
    "factors": (8, 256),
    "iterations": (5, 30),
    "regularization": (0.01, 100.0),
    "alpha": (0.05, 50.0),
}
"""Least and most of what is varied, evenly on a logarithmic scale; widened to hold the start."""

WEIGHT_TIMES: Final = 10.0
"""A kind's weight is varied between a tenth of what it is and ten times as much."""

TRANSFORMS: Final = ("linear", "log", "sqrt", "binary", "bm25")

DIGITS: Final = 3
"""Significant digits of what is tried: what is written down is what was tried."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What is varied around the present parameters.

    Parameters
    ----------
    start
        The present parameters; no transform is ``auto``.
    weighed
        Kinds whose weight is varied: all but one of those that there are, for ``alpha`` scales all.
    transformed
        Kinds whose transform is varied: those whose values differ.
    """

    start: Parameters
    weighed: tuple[str, ...] = ()
    transformed: tuple[str, ...] = ()

    @property
    def present(self) -> dict[str, Any]:
        """The present value of all that is varied, by name."""
        weights = self.start.weights
        return (
            {name: getattr(self.start, name) for name in SPACE}
            | {f"weight_of_{kind}": weights[kind].weight for kind in self.weighed}
            | {f"transform_of_{kind}": weights[kind].transform for kind in self.transformed}
        )

    def ask(self, trial: Asked) -> Parameters:
        """Return the parameters that Optuna wants tried."""
        chosen: dict[str, Any] = {}
        for name, now in self.present.items():
            if isinstance(now, str):
                chosen[name] = trial.suggest_categorical(name, TRANSFORMS)
                continue
            least, most = SPACE.get(name, (now / WEIGHT_TIMES, min(LARGEST, now * WEIGHT_TIMES)))
            low, high = min(least, now), max(most, now)
            if isinstance(now, int):
                chosen[name] = trial.suggest_int(name, int(low), int(high), log=True)
            else:
                chosen[name] = trial.suggest_float(name, low, high, log=True)
        return self.parameters(chosen)

    def parameters(self, chosen: Mapping[str, Any]) -> Parameters:
        """Return the present parameters with what was chosen, by its names.

        >>> space = SearchSpace(Parameters(8, 1, 0.1, 1.0, 42), transformed=("watch",))
        >>> space.parameters({"alpha": 2.3456, "transform_of_watch": "log"}).text_by_name["alpha"]
        '2.35'
        """
        rounded = {
            name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
            for name, value in chosen.items()
        }
        found = structs.replace(
            self.start, **{name: value for name, value in rounded.items() if name in SPACE}
        )
        weights = dict(self.start.weights)
        for name, value in rounded.items():
            field, _, kind = name.partition("_of_")
            if kind:
                weights[kind] = structs.replace(weights[kind], **{field: value})
        return found if weights == self.start.weights else _weighing(found, weights)

    def without(self, best: Parameters, name: str) -> Parameters:
        """Return `best` with the present value of what has this name."""
        there = self.of(best) | {name: self.present[name]}
        return self.parameters(there)

    def of(self, parameters: Parameters) -> dict[str, Any]:
        """Return what is varied of some parameters, by name."""
        return SearchSpace(parameters, self.weighed, self.transformed).present

    def changed(self, best: Parameters) -> Collection[str]:
        """Return the names of what is not as at present."""
        now = self.parameters(self.present)
        return [name for name, value in self.of(best).items() if value != self.of(now)[name]]


def _weighing(parameters: Parameters, weights: dict[str, Any]) -> Parameters:
    return structs.replace(parameters, event_weights=weights)


def space_of(cells: Cells, start: Parameters) -> SearchSpace:
    """Return what is varied: weights of kinds that occur, transforms where values differ."""
    kinds = [
        kind for kind, weight in start.weights.items() if weight.weight and kind in cells.values
    ]
    kinds.sort(key=lambda kind: -int((~np.isnan(cells.values[kind])).sum()))
    varied = [
        kind for kind in kinds if np.nanmin(cells.values[kind]) < np.nanmax(cells.values[kind])
    ]
    return SearchSpace(start, tuple(kinds[1:]), tuple(varied))
