"""Signatures: whoever holds a key vouches for a manifest, and through its checksums for all files.

Pure: knows HMAC-SHA256 (RFC 2104) and how keys are written. Must not know files, stores or the
environment. A signature says who may publish, where write access to the storage does not.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, TypeAlias

from registry.errors import ConfigurationError, DamagedVersion

MIN_KEY_BYTES: Final = 32
"""As long as the digest. A shorter one, a password say, can be guessed from one signature."""

ALGORITHM: Final = "hmac-sha256"

Keys: TypeAlias = tuple[bytes, ...]
"""The first signs; any of them vouches. None: nothing is signed, and no signature is needed."""


def read_keys(text: str) -> Keys:
    """Read the keys of ``RECSTREAM_SIGNING_KEY``, separated by commas; empty text gives none.

    To rotate: put the new key behind the old one on every reader, then first on the publishers,
    and drop the old one once no version that it signed is wanted.

    >>> [len(key) for key in read_keys("0" * 32 + "," + "1" * 40)]
    [32, 40]

    Raises
    ------
    ConfigurationError
        If a key is too short. The message shows no key.
    """
    if not text.strip():
        return ()
    keys = tuple(key.strip().encode() for key in text.split(","))
    for place, key in enumerate(keys, 1):
        if len(key) < MIN_KEY_BYTES:
            raise ConfigurationError(
                f"RECSTREAM_SIGNING_KEY=(secret): key {place} has {len(key)} bytes, at least "
                f"{MIN_KEY_BYTES} are needed; `openssl rand -hex 32` makes one"
            )
    return keys


def name_of(key: bytes) -> str:
    """Return a name for `key` that tells keys apart and gives nothing of them away."""
    return hmac.digest(key, b"recstream signing key", "sha256").hex()[:12]


def sign(payload: bytes, key: bytes) -> bytes:
    """Return the signature of `payload`: one line of algorithm, key name and HMAC in hexadecimal.

    >>> sign(b"{}", b"0" * 32)[:25]
    b'hmac-sha256 8bc8884b1135 '
    """
    return f"{ALGORITHM} {name_of(key)} {_hmac(payload, key)}\n".encode()


def require_signature(payload: bytes, signature: bytes | None, keys: Sequence[bytes]) -> None:
    """Check that one of `keys` signed `payload`. Takes the same time wherever they differ.

    Raises
    ------
    DamagedVersion
        If there is no signature, or none of `keys` made it.
    """
    if signature is None:
        raise DamagedVersion("is not signed, and RECSTREAM_SIGNING_KEY is set")
    algorithm, name, seen = [*signature.decode("ascii", "replace").split(), "", "", ""][:3]
    if algorithm != ALGORITHM:
        raise DamagedVersion(f"its signature is of {algorithm[:20]!r}, {ALGORITHM} is needed")
    key = next((one for one in keys if name_of(one) == name), None)
    if key is None:
        known = ", ".join(map(name_of, keys))
        raise DamagedVersion(f"is signed by key {name[:12]!r}, RECSTREAM_SIGNING_KEY holds {known}")
    if not hmac.compare_digest(seen.encode(), _hmac(payload, key).encode()):
        raise DamagedVersion(f"its manifest is not the one that key {name} signed")


def _hmac(payload: bytes, key: bytes) -> str:
    return hmac.new(key, payload, hashlib.sha256).hexdigest()
