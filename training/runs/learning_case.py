"""What all steps of learning share: the training data, the incumbent, and the rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry.versions.manifest import Order, Parameters, Start
from training.data.matrix import Cells
from training.fitting.als import Fit
from training.fitting.warm_start import Warming, shortened, start_of
from training.judging.gate import GateLimits
from training.judging.incumbent import Incumbent, IncumbentArrays
from training.judging.model_checks import Counts
from training.runs.progress import Journal


@dataclass(frozen=True, slots=True)
class RunRules:
    """How a run learns and judges: the gate's limits, the fit's threads, and what is held out: the
    share, and in which order of each user's interactions it is the last one.
    """

    limits: GateLimits
    holdout: float
    threads: int
    order: Order = "time"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One learning, before any model is fitted."""

    cells: Cells
    weight: NDArray[np.float32]
    counts: Counts
    parameters: Parameters
    incumbent: Incumbent | None
    published: IncumbentArrays | None
    rules: RunRules
    fit: Fit
    warming: Warming | None
    journal: Journal

    @property
    def start(self) -> Start | None:
        """Where the fit of what is published will begin."""
        if self.warming is None:
            return None
        return start_of(
            self.warming,
            self.parameters,
            self.incumbent,
            self.published,
            self.rules.holdout,
            self.rules.order,
        )

    def advance(self, start: Start | None, before: int, done: int) -> None:
        """Report the iterations of trial and published model as one count."""
        total = self.parameters.iterations + shortened(self.parameters, start).iterations
        self.journal.advance(before + done, total, None if start is None else f"begins {start}")
