"""One line of the doctor: what was checked, what was found, what to do. Values only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

Verdict: TypeAlias = Literal["ok", "warning", "failed", "skipped"]
"""``warning``: it works, and somebody should look. ``skipped``: another fault is in the way."""


class Diagnosis(Struct, frozen=True, omit_defaults=True):
    """What one check found; ``remedy`` says what to do, unless ``detail`` does."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def has_failed(diagnoses: Iterable[Diagnosis]) -> bool:
    """Tell whether something does not work.

    >>> has_failed([Diagnosis("disk", "warning", "5 % free")])
    False
    """
    return any(diagnosis.verdict == "failed" for diagnosis in diagnoses)
