"""What an operator should know of new items that are not followed, or not sent.

Pure: what is wrong in, sentences out. Must not know Kafka's client.
"""

from __future__ import annotations

from typing import Final

from registry.error_codes import NoticeCode
from registry.errors import TransportError
from streams.watch.notices import Notice

UNCONFIRMED_SECONDS: Final = 60.0
"""How long Kafka may take to confirm what was sent, until that is called trouble."""


def stalled_items(topic: str, trouble: str | None) -> Notice | None:
    """Return that new items are not followed, or not sent; None while there is no `trouble`."""
    if trouble is None:
        return None
    return Notice(
        NoticeCode.NEW_ITEMS_STALLED,
        f"{topic}: {trouble}; retrying. New items that are in lists stay there, and no others come",
    )


def unconfirmed_records(count: int, seconds: float) -> TransportError:
    """Return what to say of `count` records that Kafka did not confirm in `seconds`."""
    return TransportError(f"Kafka has not confirmed {count} records for {seconds:g} s")
