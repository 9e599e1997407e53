"""What all unit tests share: they are to take seconds, 2,500 of them.

Half as many examples of each property as elsewhere; the garbage collector rests, as a worker's
does: by Python's own thresholds, a tenth of the time goes there.
"""

from __future__ import annotations

import gc

import hypothesis

hypothesis.settings.register_profile(
    "unit", hypothesis.settings.get_profile("here"), max_examples=20
)
hypothesis.settings.load_profile("unit")
gc.set_threshold(50_000, 20, 100)
