"""Where a key goes: Java's partitioner, which all producers of the fleet's topics must use.

Pure. Producers choose by themselves (``murmur2_random``); this tells whether they did.
"""

from __future__ import annotations

from typing import Final

SEED: Final = 0x9747B28C
FACTOR: Final = 0x5BD1E995
MASK: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key`, which must not be empty, among so many.

    >>> [partition_of(key, 8) for key in (b"42", b"9007199254740993", "日本".encode())]
    [4, 3, 3]
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `key`, with the seed of Kafka's Java client.

    >>> hex(murmur2(b"21")), hex(murmur2(b"foobar"))
    ('0xc5f2f8ec', '0xd0e47bbe')
    """
    value = SEED ^ len(key)
    whole = len(key) - len(key) % 4
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * FACTOR & MASK
        word = (word ^ word >> 24) * FACTOR & MASK
        value = value * FACTOR & MASK ^ word
    if rest := key[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * FACTOR & MASK
    value = (value ^ value >> 13) * FACTOR & MASK
    return value ^ value >> 15
