"""Asymptotic confidence sequences: how far an estimate may be off at all times together.

Pure numbers. Must not know arms or users.
"""

from __future__ import annotations

import math
from typing import Final

TIGHTEST_AT: Final = 2_000
"""Users at which a sequence is tightest. With a tenth of them it is wider by 27 % than one that was
tuned to that number, with ten times as many by 7 %."""


def mixture_width(
    variance: float, count: int, alpha: float, tightest_at: int = TIGHTEST_AT
) -> float:
    """Return half the width of a confidence sequence around an asymptotically normal estimate.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2021, theorem 2.2, with ``σ² = t · variance``:
    ``σ · sqrt(2 (tρ² + 1) / (t²ρ²) · log(sqrt(tρ² + 1) / α))``, ``ρ² = (−2 log α + log(1 − 2 log
    α)) / tightest_at``. Valid at all looks together, for counts that are not small.

    Parameters
    ----------
    variance
        Of the estimate, as estimated from the `count` users; >= 0.
    count
        ``t``, at least 1.
    alpha
        Most probability that the truth is ever outside, 0..1 exclusive; both sides together.
    tightest_at
        The count for which ``ρ`` is chosen.

    Examples
    --------
    >>> round(mixture_width(1 / 2000, 2000, 0.05) / (1 / 2000) ** 0.5, 2)  # 1.96 for one look
    3.04
    """
    log_alpha = -2 * math.log(alpha)
    spread = count * (log_alpha + math.log(1 + log_alpha)) / tightest_at
    crossing = math.log(math.sqrt(spread + 1) / alpha)
    return math.sqrt(variance * 2 * (spread + 1) / spread * crossing)
