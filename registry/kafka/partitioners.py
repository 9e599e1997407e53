"""Partitioners: by which hash of its key a topic's records were given their partitions.

Pure: keys and numbers in, a verdict out. A user's requests and interactions meet on one worker only
if both producers choose alike, and clients' defaults differ: Java's is murmur2, librdkafka's (and
so that of Python, Go, .NET and others made of it) is CRC32. A record cannot say who chose for it;
but where n partitions are, another partitioner's choice fits only once in n times.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from aiokafka.partitioner import murmur2

LEAST_RECORDS: Final = 20
"""Fewer say nothing."""

FITS: Final = 0.9
"""Share of the records that must lie where a partitioner would put them. Not all do after a growth:
what was written before lies by the former number."""

REMEMBERED: Final = 2_000
"""Records of a topic after which all counts are halved: so a producer that was mended shows."""

SETTINGS: Final = {
    "murmur2": "murmur2 (Java's default; partitioner=murmur2_random in librdkafka)",
    "crc32": "CRC32 (librdkafka's default, partitioner=consistent_random)",
    "other": "neither murmur2 nor CRC32 of their keys",
}


def murmur2_partition(key: bytes, partitions: int) -> int:
    """Return where Java's default partitioner, and ``murmur2_random``, put a key.

    >>> murmur2_partition(b"21", 8), murmur2_partition(b"foobar", 8)
    (4, 6)
    """
    found: int = (murmur2(key) & 0x7FFFFFFF) % partitions
    return found


def crc32_partition(key: bytes, partitions: int) -> int:
    """Return where librdkafka's default partitioner puts a key.

    >>> crc32_partition(b"21", 8)
    4
    """
    return zlib.crc32(key) % partitions


class PartitionerSeen(NamedTuple):
    """What a topic's records say.

    Parameters
    ----------
    topic
        Its name.
    partitioner
        ``murmur2``, ``crc32``, or ``other`` if neither fits; None: too few records to tell.
    share
        Of the records that fit it, 0..1; of ``other``, the larger of the two.
    records
        How many were examined.
    """

    topic: str
    partitioner: str | None
    share: float
    records: int

    def __str__(self) -> str:
        if self.partitioner is None:
            return f"{self.topic}: too few records with a key to tell its partitioner"
        return (
            f"{self.topic}: {SETTINGS[self.partitioner]}, {self.share:.0%} of {self.records:,} "
            "records"
        )


class PartitionerTally:
    """Counts one topic's records by the partitioners that they fit."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._records = self._murmur2 = self._crc32 = 0

    def note(self, key: bytes | None, partition: int, partitions: int) -> None:
        """Look at a record; one without a key, or in the only partition, says nothing."""
        if not key or partitions < 2:
            return
        if self._records >= REMEMBERED:
            self._records, self._murmur2, self._crc32 = (
                count // 2 for count in (self._records, self._murmur2, self._crc32)
            )
        self._records += 1
        self._murmur2 += murmur2_partition(key, partitions) == partition
        self._crc32 += crc32_partition(key, partitions) == partition

    def seen(self) -> PartitionerSeen:
        """Return what the records say."""
        if self._records < LEAST_RECORDS:
            return PartitionerSeen(self._topic, None, 0.0, self._records)
        fits = {"murmur2": self._murmur2, "crc32": self._crc32}
        best = max(fits, key=lambda name: fits[name])
        share = fits[best] / self._records
        return PartitionerSeen(
            self._topic, best if share >= FITS else "other", share, self._records
        )


def disagreement(
    requests: PartitionerSeen, interactions: PartitionerSeen, *, fresh: str, outcomes: str
) -> str | None:
    """Return what is wrong if a user's requests and interactions do not meet, though they must.

    None if they meet, or too little is known, or it does not matter: with ``fresh`` ``all`` or
    ``off``, unless outcomes are joined, which is done partition by partition.

    >>> murmur2 = PartitionerSeen("requests", "murmur2", 1.0, 50)
    >>> disagreement(murmur2, murmur2._replace(partitioner="crc32"), fresh="all", outcomes="off")
    """
    if fresh != "partition" and outcomes == "off":
        return None
    known = requests.partitioner and interactions.partitioner
    if not known or requests.partitioner == interactions.partitioner:
        return None
    return (
        f"a user's requests and interactions do not meet on one worker: {requests}; "
        f"{interactions}. Have both producers use partitioner=murmur2_random"
        + (_OTHERWISE if outcomes == "off" else _NOT_OTHERWISE)
    )


_OTHERWISE: Final = ", or set RECSTREAM_FRESH=all, with which every worker reads all interactions"
_NOT_OTHERWISE: Final = (
    ": until then outcomes are missing, whatever RECSTREAM_FRESH is, because they are joined "
    "partition by partition"
)
