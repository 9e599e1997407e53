"""Signatures: whoever holds a key vouches for a manifest, and through its checksums for all files.

There are two algorithms. A signature names its own, and a reader checks those that it has a key
for:

``ed25519`` (RFC 8032)
    A pair of keys: publishers hold the private one and sign; readers hold the public one, and can
    check but not sign.
``hmac-sha256`` (RFC 2104)
    One shared key: whoever can check a signature can also make one. A worker that is taken over can
    then sign versions for all others.

Pure: knows both, and how keys are written. Must not know files, stores or the environment.
A signature says who may publish, where write access to the storage does not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from registry.errors import ArtifactError, ConfigurationError, DamagedVersion

SHARED: Final = "RECSTREAM_SIGNING_KEY"
PRIVATE: Final = "RECSTREAM_SIGNING_PRIVATE_KEY"
PUBLIC: Final = "RECSTREAM_SIGNING_PUBLIC_KEYS"

MIN_KEY_BYTES: Final = 32
"""Of a shared key: as long as the digest. A shorter one, a password say, can be guessed from one
signature."""

HMAC: Final = "hmac-sha256"
ED25519: Final = "ed25519"

Check: TypeAlias = Callable[[bytes, bytes], bool]
"""Whether a signature is one of these bytes."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one process. Without any, nothing is signed and no signature is needed.

    Parameters
    ----------
    shared
        For HMAC; the first one signs if there is no `private` one.
    private
        For Ed25519; signs.
    public
        For Ed25519; each is accepted. The one of `private` is among them.
    """

    shared: tuple[bytes, ...] = ()
    private: Ed25519PrivateKey | None = None
    public: tuple[Ed25519PublicKey, ...] = ()

    @property
    def must_be_signed(self) -> bool:
        """Whether versions must be signed to be read."""
        return bool(self.shared or self.public)

    @property
    def can_sign(self) -> bool:
        """Whether there is a key to sign with."""
        return bool(self.shared or self.private)


NO_KEYS: Final = Keys()
"""Nothing is signed, and no signature is needed."""


class _Signature(NamedTuple):
    algorithm: str
    key_name: str
    value: bytes


def read_keys(shared: str = "", private: str = "", public: str = "") -> Keys:
    """Read the keys as the three settings hold them; an empty text gives none.

    Parameters
    ----------
    shared
        ``RECSTREAM_SIGNING_KEY``: texts, separated by commas.
    private
        ``RECSTREAM_SIGNING_PRIVATE_KEY``: PKCS #8 in DER, as base64 on one line.
    public
        ``RECSTREAM_SIGNING_PUBLIC_KEYS``: SubjectPublicKeyInfo in DER, as base64, separated by
        commas.

    Raises
    ------
    ConfigurationError
        If a key cannot be read or is too short, or if no reader with these public keys would accept
        what the private key signs. The message shows no secret.

    Examples
    --------
    >>> [len(key) for key in read_keys("0" * 32 + "," + "1" * 40).shared]
    [32, 40]
    """
    signer = _private_key(private) if private.strip() else None
    accepted = tuple(_public_key(key, place) for place, key in _listed(public))
    if signer is not None:
        own = signer.public_key()
        if accepted and name_of(own) not in map(name_of, accepted):
            raise ConfigurationError(
                f"{PRIVATE}=(secret): its public key {name_of(own)} is not in {PUBLIC}, which "
                f"holds {_names(accepted)}; versions that it signs would be refused. Add its "
                f"public key"
            )
        accepted = accepted or (own,)
    return Keys(tuple(_shared_key(key, place) for place, key in _listed(shared)), signer, accepted)


def require_signing_key(keys: Keys) -> None:
    """Check that what this process publishes would be read by those who hold the same public keys.

    Raises
    ------
    ArtifactError
        If versions must be signed, and there is no key to sign with.
    """
    if keys.must_be_signed and not keys.can_sign:
        raise ArtifactError(
            f"there is no key to sign with: {PUBLIC} is set, so readers accept signed versions "
            f"only; set {PRIVATE} where versions are published"
        )


def name_of(key: bytes | Ed25519PublicKey) -> str:
    """Return a name for `key` that tells keys apart and gives no secret away."""
    if isinstance(key, bytes):
        return hmac.digest(key, b"recstream signing key", "sha256").hex()[:12]
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:12]


def sign(payload: bytes, keys: Keys) -> bytes:
    """Return the signature of `payload`: a line of algorithm, key name and hexadecimal value.

    The private key signs if there is one, else the first shared key.

    >>> sign(b"{}", read_keys("0" * 32))[:25]
    b'hmac-sha256 8bc8884b1135 '
    """
    if keys.private is not None:
        name, value = name_of(keys.private.public_key()), keys.private.sign(payload)
        return f"{ED25519} {name} {value.hex()}\n".encode()
    key = keys.shared[0]
    return f"{HMAC} {name_of(key)} {_hmac(payload, key).hex()}\n".encode()


def require_signature(payload: bytes, signature: bytes | None, keys: Keys) -> None:
    """Check that one of `keys` signed `payload`. Takes the same time wherever they differ.

    Raises
    ------
    DamagedVersion
        If there is no signature, or none of `keys` made it.
    """
    known: dict[str, tuple[str, dict[str, Check]]] = {
        HMAC: (SHARED, {name_of(key): _hmac_check(key) for key in keys.shared}),
        ED25519: (PUBLIC, {name_of(key): _ed25519_check(key) for key in keys.public}),
    }
    if signature is None:
        needed = " and ".join(setting for setting, checks in known.values() if checks)
        raise DamagedVersion(f"is not signed; {needed} accepts signed versions only")
    made = _read_signature(signature)
    if made.algorithm not in known:
        raise DamagedVersion(
            f"its signature uses {made.algorithm[:20]!r}; {' or '.join(known)} is needed"
        )
    setting, checks = known[made.algorithm]
    check = checks.get(made.key_name)
    if check is None:
        raise DamagedVersion(
            f"is signed by {made.algorithm} key {made.key_name[:12]!r}; {setting} holds "
            f"{', '.join(checks) or 'none'}"
        )
    if not check(payload, made.value):
        raise DamagedVersion(f"its manifest is not the one that key {made.key_name} signed")


def _read_signature(line: bytes) -> _Signature:
    algorithm, name, value = [*line.decode("ascii", "replace").split(), "", "", ""][:3]
    try:
        return _Signature(algorithm, name, bytes.fromhex(value))
    except ValueError:
        return _Signature(algorithm, name, b"")


def _hmac(payload: bytes, key: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")


def _hmac_check(key: bytes) -> Check:
    return lambda payload, value: hmac.compare_digest(value, _hmac(payload, key))


def _ed25519_check(key: Ed25519PublicKey) -> Check:
    def check(payload: bytes, value: bytes) -> bool:
        try:
            key.verify(value, payload)
        except InvalidSignature:
            return False
        return True

    return check


def _listed(text: str) -> Iterable[tuple[int, str]]:
    """Return the comma-separated values, numbered from 1."""
    return enumerate(map(str.strip, text.split(",")), 1) if text.strip() else ()


def _names(keys: Iterable[Ed25519PublicKey]) -> str:
    return ", ".join(map(name_of, keys))


def _shared_key(text: str, place: int) -> bytes:
    key = text.encode()
    if len(key) < MIN_KEY_BYTES:
        raise ConfigurationError(
            f"{SHARED}=(secret): key {place} has {len(key)} bytes, at least {MIN_KEY_BYTES} are "
            "needed; `openssl rand -hex 32` makes one"
        )
    return key


def _private_key(text: str) -> Ed25519PrivateKey:
    try:
        key = load_der_private_key(base64.b64decode(text.strip(), validate=True), password=None)
    except (ValueError, TypeError):  # the error could quote the key
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(
            f"{PRIVATE}=(secret): must be an Ed25519 private key, PKCS #8 in DER as base64 on one "
            "line; `openssl genpkey -algorithm ed25519 -outform DER | base64 -w0` makes one"
        ) from None
    return key


def _public_key(text: str, place: int) -> Ed25519PublicKey:
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(
            f"{PUBLIC}: key {place} must be an Ed25519 public key, SubjectPublicKeyInfo in DER as "
            "base64; `openssl pkey -inform DER -pubout -outform DER` derives it from the private "
            "key"
        )
    return key
