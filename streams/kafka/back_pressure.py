"""Back-pressure: a partition with too many unacknowledged records is not read until half are done.

Pure.
"""

from __future__ import annotations


def must_pause(unacknowledged: int, most_in_flight: int) -> bool:
    """Tell whether a partition is to be read no more for now.

    >>> must_pause(999, 1000), must_pause(1000, 1000)
    (False, True)
    """
    return unacknowledged >= most_in_flight


def may_resume(unacknowledged: int, most_in_flight: int) -> bool:
    """Tell whether a partition that was paused is to be read again.

    >>> may_resume(501, 1000), may_resume(500, 1000)
    (False, True)
    """
    return unacknowledged <= most_in_flight // 2
