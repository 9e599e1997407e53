"""Names that no caller may issue commands under: the fleet's own, and those of other callers."""

from __future__ import annotations

from typing import Final

from registry.error_codes import HttpCode
from registry.wire.origins import implied_origin
from streams.http.problems import Refused

UNNAMED: Final = "http:"
"""What ``issued_by`` begins with where a request gives none; see `streams.http.admission.login`."""


def require_own_name(issued_by: str, issuer: str) -> None:
    """Let nobody claim what only the fleet itself, or another sender, is called in the trail.

    Its origin is `operator` in any case; the previous release would judge it by its name.
    """
    is_reserved = implied_origin(issued_by) != "operator" or issued_by.startswith(UNNAMED)
    if issued_by != issuer and is_reserved:
        raise Refused(
            422,
            HttpCode.RESERVED_NAME,
            f"issued_by {issued_by!r}: is a name that the fleet uses for its own commands; give "
            f"your own name, or none",
        )
