"""What a file contains, before any of it is sent.

Reads a file to its end, and keeps counts and bad lines, not interactions. Must not know Kafka nor
the terminal. A misspelled kind of event is not a bad line, but no training learns from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.ingest.file_layout import Layout
from ops.ingest.interaction_files import BadLine, read_interactions
from registry.ids import ItemId
from registry.wire.training_records.event_weights import FORGET, EventWeights


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What a file holds: interactions by kind of event, bad lines, interactions with a title."""

    count_by_kind: Counter[str]
    bad: list[BadLine]
    titled: int

    @property
    def good(self) -> int:
        """Interactions, of any kind."""
        return self.count_by_kind.total()


def check_file(
    path: Path, titles: Mapping[ItemId, str], layout: Layout, noticed: Counter[str]
) -> CheckedFile:
    """Read a file to its end, as :func:`~ops.ingest.interaction_files.read_interactions` does."""
    count_by_kind: Counter[str] = Counter()
    titled, bad = 0, []
    for found in read_interactions(path, titles, layout, noticed):
        if isinstance(found, BadLine):
            bad.append(found)
        else:
            count_by_kind[found.event] += 1
            titled += found.title is not None
    return CheckedFile(count_by_kind, bad, titled)


def warn_of_kinds(count_by_kind: Mapping[str, int], weights: EventWeights) -> Iterator[str]:
    """Yield a warning for each kind without a weight; `forget` needs none.

    >>> from registry.wire.training_records.event_weights import DEFAULT, parse_event_weights
    >>> (warning,) = warn_of_kinds({"watch": 7, "wacth": 2}, parse_event_weights(DEFAULT))
    >>> print(warning.partition(";")[0])
    event `wacth` has no weight: training ignores 2 events
    """
    for kind, count in count_by_kind.items():
        if kind not in weights and kind != FORGET:
            yield (
                f"event `{kind}` has no weight: training ignores {count:,} events; if the kind is "
                f"not misspelled, add {kind}=1 to RETRAIN_EVENT_WEIGHTS"
            )
