"""What a page may do: its one script and one style sheet, by their digests; a report: nothing."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""A report is a stored file, with styles of its own; it may look as it likes and do nothing."""


def headers_of(style: object, script: object) -> dict[str, str]:
    """Return the headers of a page with this style sheet and this script."""
    return {
        "Content-Security-Policy": "default-src 'none'; img-src data:; connect-src 'self'; "
        f"script-src 'sha256-{_digest(script)}'; "
        f"style-src 'sha256-{_digest(style)}'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        "Referrer-Policy": "same-origin",  # else a form does not say where it comes from
    }


def _digest(text: object) -> str:
    return base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode()
