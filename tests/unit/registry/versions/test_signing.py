"""Signatures: only who holds a key can make one, and refusals give nothing of a key away."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from registry.errors import ConfigurationError, DamagedVersion
from registry.versions.signing import name_of, read_keys, require_signature, sign

OLD, NEW = b"o" * 32, b"n" * 32
PAYLOAD = b'{"version": "v0.1"}'


def refusal_of(signature: bytes | None, *keys: bytes, payload: bytes = PAYLOAD) -> str:
    with pytest.raises(DamagedVersion) as refused:
        require_signature(payload, signature, keys)
    return str(refused.value)


def test_it_is_hmac_sha256_with_the_name_of_the_key() -> None:
    expected = hmac.new(OLD, PAYLOAD, hashlib.sha256).hexdigest()
    assert sign(PAYLOAD, OLD) == f"hmac-sha256 {name_of(OLD)} {expected}\n".encode()


def test_what_one_of_the_keys_signed_passes_whichever_it_was() -> None:
    for key in (OLD, NEW):
        require_signature(PAYLOAD, sign(PAYLOAD, key), (NEW, OLD))


def test_what_is_not_signed_or_signed_by_another_key_is_refused() -> None:
    assert "is not signed" in refusal_of(None, NEW)
    message = refusal_of(sign(PAYLOAD, OLD), NEW)
    assert name_of(OLD) in message
    assert name_of(NEW) in message


def test_another_payload_or_another_signature_is_refused() -> None:
    signature = sign(PAYLOAD, NEW)
    assert "is not the one" in refusal_of(signature, NEW, payload=PAYLOAD + b" ")
    for position in (-2, -40):
        flipped = bytearray(signature)
        flipped[position] ^= 1
        refusal_of(bytes(flipped), NEW)


@pytest.mark.parametrize(
    "signature", [b"", b"\xff\xfe", b"hmac-sha256", b"sha256 a b", b"none  ", b"hmac-sha256 \n"]
)
def test_what_is_no_signature_is_refused(signature: bytes) -> None:
    refusal_of(signature, NEW)


def test_keys_are_separated_by_commas_and_the_first_is_first() -> None:
    assert read_keys("") == read_keys("  ") == ()
    assert read_keys(f" {'n' * 32} ,{'o' * 32}") == (NEW, OLD)


@pytest.mark.parametrize("text", ["short", f"{'n' * 32},", f"{'n' * 32},hush"])
def test_a_short_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"RECSTREAM_SIGNING_KEY=\(secret\)") as refused:
        read_keys(text)
    assert "hush" not in str(refused.value)
    assert "short" not in str(refused.value)


def test_the_name_of_a_key_is_no_part_of_it() -> None:
    assert name_of(NEW) != name_of(OLD)
    assert name_of(NEW) not in NEW.hex()
