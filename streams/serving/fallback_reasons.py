"""Why a request gets popular items: the ``fallback_reason`` of its answer.

Pure. Why another version than the assigned one answers: `streams.serving.routing`.
"""

from __future__ import annotations

from registry.error_codes import FallbackCode
from registry.versions.model import Model
from registry.wire.requests import Request
from registry.wire.responses import Source


def fallback_of(request: Request, model: Model, source: Source) -> FallbackCode | None:
    """Return why a request gets popular items; None if it does not."""
    if source != "popular":
        return None
    if request.like is not None or request.user_id is None:
        can_fold_in = model.fresh_vectors is not None or request.like is not None
        return FallbackCode.UNKNOWN_ITEMS if can_fold_in else FallbackCode.NO_FOLD_IN
    mistyped = model.known_users.knows_other_type_of(request.user_id)
    return FallbackCode.USER_ID_OF_OTHER_TYPE if mistyped else FallbackCode.UNKNOWN_USER
