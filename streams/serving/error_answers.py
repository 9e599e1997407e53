"""Requests that cannot be answered as they ask: the errors that they get instead.

Pure. Why a request that is answered gets popular items: `streams.serving.fallback_reasons`.
"""

from __future__ import annotations

from collections.abc import Iterable

from registry.error_codes import AnswerCode
from registry.versions.model import Model
from registry.wire.field_types import AnswerError
from registry.wire.requests import Request, conflict_in


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


def no_version() -> AnswerError:
    """Return the refusal of every request while there is nothing to answer with."""
    why = "no version is deployed, or none could be loaded here; GET /readyz says why"
    return AnswerError(AnswerCode.NO_VERSION, why)


def unknown_version(request: Request, in_memory: Iterable[str]) -> AnswerError:
    """Return the refusal of a request that pins a version which is not in memory."""
    return AnswerError(
        AnswerCode.UNKNOWN_VERSION,
        f"model_version {request.model_version!r} is not in memory on this worker; "
        f"available: {', '.join(sorted(in_memory))}",
    )
