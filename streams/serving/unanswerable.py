"""Requests that a version cannot answer, and the error that says why.

Pure. Must not know how the others are answered.
"""

from __future__ import annotations

from registry.error_codes import AnswerCode
from registry.versions.model import Model
from registry.wire.field_types import AnswerError
from registry.wire.requests import Request


def unknown_label(request: Request, model: Model) -> AnswerError | None:
    """Return the refusal of a filter by a label that none of the version's items has."""
    if request.allow is None and request.exclude is None:
        return None
    unknown = model.label_masks.unknown([request.allow, request.exclude])
    if not unknown:
        return None
    return AnswerError(
        AnswerCode.UNKNOWN_LABEL,
        f"no item of {model.version} has the label {', '.join(map(repr, unknown))}; its labels: "
        f"{', '.join(map(repr, model.label_masks.names)) or 'none'}",
    )
