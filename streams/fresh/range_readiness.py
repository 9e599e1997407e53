"""Whether a version that is in memory may answer: its range is followed, forgets included.

Pure: what has not been read yet, and for how long it was waited for. A version that comes to a
worker which has others may need earlier interactions than those. Until these are read, the others
go on answering, so that no swap makes a user somebody again who has sent a `forget`. What the
others have not read either is no reason to wait: the new one knows no less. Where no version
answers yet, as when a worker starts, nothing is gained by waiting. Must not know versions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def is_ready(
    lagging: Collection[int],
    answering: Sequence[Collection[int]],
    waited_seconds: float,
    most_seconds: float,
) -> bool:
    """Tell whether a version may answer.

    Parameters
    ----------
    lagging
        Partitions of which not all has been read that it needs.
    answering
        The same of each version that may answer already.
    waited_seconds, most_seconds
        For how long it has waited since it came into memory, and may wait.

    Examples
    --------
    >>> is_ready({1}, [set()], 0.5, 30.0), is_ready({1}, [set()], 30.0, 30.0)
    (False, True)
    >>> is_ready({1}, [{1, 2}], 0.5, 30.0), is_ready({1}, [], 0.5, 30.0)
    (True, True)
    """
    if not answering or waited_seconds >= most_seconds:
        return True
    return all(number in lags for number in lagging for lags in answering)
