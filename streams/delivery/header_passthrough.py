"""Header passthrough: headers of a request that are copied to its answer and its dead letter.

Pure. Correlation ids and trace contexts (``traceparent``) are the sender's; nothing reads them.
Bounded, because they are copied to every answer. Must not know who sends the copies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streams.delivery.outgoing import Headers

MOST_HEADERS: Final = 32
"""Of one record. More than any tracing needs; a record with thousands must not cost thousands."""

MOST_BYTES: Final = 8_192
"""Of their names and values together, as HTTP servers allow: an answer is no larger than this for
its headers."""


def copy_headers(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    """Return `headers` as they are, in order; of too many or too large ones, those at the front.

    >>> copy_headers([("traceparent", b"00-1"), ("empty", None)])
    [('traceparent', b'00-1'), ('empty', None)]
    >>> copy_headers([("large", b"x" * 9_000), ("small", b"1")])
    []
    """
    kept: Headers = []
    size = 0
    for name, value in headers:
        size += len(name.encode()) + len(value or b"")
        if len(kept) == MOST_HEADERS or size > MOST_BYTES:
            break
        kept.append((name, value))
    return kept
