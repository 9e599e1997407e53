"""The findings of a run: models judged on held-out interactions, and what may be published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from registry.versions.manifest import Order, Start
from registry.wire.training_records.gate_results import Gate
from training.data.matrix import Csr, Factors, Mask
from training.judging.holdout import Rows
from training.judging.quality_estimates import Quality
from training.judging.ranking_metrics import Judgement


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What remains of a :class:`Split` once the models are judged."""

    held: Mask
    relevant: Csr
    users: Rows
    popular: NDArray[np.float64]
    order: Order


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What was judged, for those who want to look closer than the metrics do."""

    split: HeldOut
    candidate: Judgement
    popularity: Judgement
    incumbent: Judgement | None
    quality: Quality
    baselines: Mapping[str, Judgement] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What came out. ``factors`` are those to publish; None if nothing could be, or may be.

    ``start`` is where their fit began; None: at random, as nothing else was asked for.
    """

    factors: Factors | None
    evaluation: Evaluation | None
    gate: Gate
    start: Start | None = None

    @property
    def quality(self) -> Quality | None:
        """The metrics with their intervals; None if no user could be judged."""
        return self.evaluation.quality if self.evaluation else None

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics as the manifest names them; empty if no user could be judged."""
        return self.quality.metrics if self.quality else {}
