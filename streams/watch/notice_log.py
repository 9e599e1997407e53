"""The log of notices: each is logged once when it comes, and once when it is over."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from streams.watch.notices import Notice

logger = logging.getLogger(__name__)


class Notices:
    """Logs the notices that come and go; one that stays is logged once."""

    def __init__(self) -> None:
        self._shown: dict[str, Notice] = {}

    def log(self, present: Sequence[Notice]) -> None:
        """Log what is new among the notices that are `present`, and what is gone."""
        now = {notice.code: notice for notice in present}
        for code, notice in now.items():
            if code not in self._shown:
                logger.warning("%s: %s", code, notice.message)
        for code in self._shown.keys() - now.keys():
            logger.info("%s: over", code)
        self._shown = now
