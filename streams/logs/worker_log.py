"""The log of a worker: lines that are worth reading, as `streams.logs.log_folding` decides.

Knows Python's logging. Must not know which lines are worth reading.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from streams.logs.log_folding import BY_ITSELF, Folding, level_of

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
KIND_CHARACTERS: Final = 120
"""Of a message that tell its kind, digits apart: addresses and figures come after the words."""

_DIGITS: Final = re.compile(r"\d+")


class FoldingFilter(logging.Filter):
    """Shows each line at the level that it deserves, and folds warnings that repeat."""

    def __init__(self) -> None:
        super().__init__()
        self._folding = Folding()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether `record` is shown; it may be shown as something else than it was logged."""
        message = record.getMessage()
        library = _library(record.name, message)
        if record.levelno < logging.WARNING and library not in BY_ITSELF:
            return True
        level = level_of(library, record.levelno, message)
        if level < logging.INFO or (record.levelno <= logging.INFO and library in BY_ITSELF):
            return False
        if level < record.levelno:
            record.levelno, record.levelname = level, logging.getLevelName(level)
            record.exc_info = record.exc_text = None
        kind = f"{record.name}:{_DIGITS.sub('0', message)[:KIND_CHARACTERS]}"
        hidden = self._folding.admit(kind, record.created)
        if hidden is None:
            return False
        if hidden:
            record.msg, record.args = f"{message} ({hidden} more since it was last shown)", ()
        return True


def _library(logger: str, message: str) -> str:
    """Return whose message it is: Faust's services log by the module of a class, ours too."""
    return "faust" if message.startswith("[^") else logger.partition(".")[0]


def set_up_logging(formatter: type[logging.Formatter] = logging.Formatter) -> None:
    """Log to standard error by `formatter`, once per process."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(FORMAT))
    handler.addFilter(FoldingFilter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
