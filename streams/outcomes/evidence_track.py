"""How an experiment's differences came to be what they are: a few looks, evenly spaced in time.

Pure: mutable state of one class, without a clock. Must not know how it is drawn.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from registry.outcomes.arm_comparison import Comparison
from registry.outcomes.conclusion import Conclusion

MOST_LOOKS: Final = 128
"""Of one experiment. When there are more, every second one goes: 128 still draw a smooth line."""


class TrackedLook(NamedTuple):
    """One look at an experiment: when, in seconds since 1970, and what it found."""

    at: float
    conversion: Comparison
    outcomes_per_exposure: Comparison


class EvidenceTrack:
    """The looks at the experiment of one epoch; another epoch starts afresh.

    Attributes
    ----------
    looks
        The earliest first, the last one as recent as the last call; replaced whole.
    """

    def __init__(self) -> None:
        self.looks: tuple[TrackedLook, ...] = ()
        self._epoch: int | None = None
        self._spacing = 0.0

    def note(self, epoch: int, at: float, found: Conclusion) -> None:
        """Take in a look at `at`; looks closer together than the spacing replace each other."""
        if epoch != self._epoch:
            self.looks, self._epoch, self._spacing = (), epoch, 0.0
        look = TrackedLook(at, found.conversion, found.outcomes_per_exposure)
        kept = self.looks
        if len(kept) > 1 and kept[-1].at - kept[-2].at < self._spacing:
            kept = kept[:-1]
        kept = (*kept, look)
        if len(kept) > MOST_LOOKS:
            self._spacing = 2 * (kept[-1].at - kept[0].at) / MOST_LOOKS
            kept = (*kept[:-1:2], look)
        self.looks = kept
