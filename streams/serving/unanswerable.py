"""Requests that cannot be answered, or not as they ask, and the code that says why.

Pure. Must not know how the others are answered.
"""

from __future__ import annotations

from registry.error_codes import AnswerCode, FallbackCode
from registry.versions.model import Model
from registry.wire.field_types import AnswerError
from registry.wire.requests import Request, conflict_in
from registry.wire.responses import Source


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


def bad_combination(request: Request) -> AnswerError | None:
    """Return the refusal of fields that do not go together."""
    conflict = conflict_in(request)
    return None if conflict is None else AnswerError(AnswerCode.BAD_COMBINATION, conflict)


def fallback_of(request: Request, model: Model, source: Source) -> FallbackCode | None:
    """Return why a request gets popular items; None if it does not."""
    if source != "popular":
        return None
    if request.like is not None or request.user_id is None:
        can_fold_in = model.fresh_vectors is not None or request.like is not None
        return FallbackCode.UNKNOWN_ITEMS if can_fold_in else FallbackCode.NO_FOLD_IN
    mistyped = model.knows_other_type_of(request.user_id)
    return FallbackCode.USER_ID_OF_OTHER_TYPE if mistyped else FallbackCode.UNKNOWN_USER
