"""Signatures: only who holds a key can make one, and refusals give nothing of a key away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from harness.cells import each_cell

from registry.errors import ArtifactError, ConfigurationError, DamagedVersion
from registry.versions.signing import (
    NO_KEYS,
    Keys,
    name_of,
    read_keys,
    require_signature,
    require_signing_key,
    sign,
)
from tests.unit.registry.builders import a_key_pair
from tests.unit.test_layout import ROOT

OLD, NEW = "o" * 32, "n" * 32
PAYLOAD = b'{"version": "v0.1"}'
PAIR, OTHER_PAIR = a_key_pair(1), a_key_pair(2)
PUBLISHER, READER = read_keys(private=PAIR.private), read_keys(public=PAIR.public)

X25519 = X25519PrivateKey.from_private_bytes(b"x" * 32)
OTHER_PRIVATE = base64.b64encode(
    X25519.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
).decode()
OTHER_PUBLIC = base64.b64encode(
    X25519.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


def refusal_of(signature: bytes | None, keys: Keys, payload: bytes = PAYLOAD) -> str:
    with pytest.raises(DamagedVersion) as refused:
        require_signature(payload, signature, keys)
    return str(refused.value)


# --- a shared key: HMAC ------------------------------------------------------------------------


def test_it_is_hmac_sha256_with_the_name_of_the_key() -> None:
    expected = hmac.new(OLD.encode(), PAYLOAD, hashlib.sha256).hexdigest()
    made = sign(PAYLOAD, read_keys(OLD))
    assert made == f"hmac-sha256 {name_of(OLD.encode())} {expected}\n".encode()


def test_what_one_of_the_keys_signed_passes_whichever_it_was() -> None:
    for key in (OLD, NEW):
        require_signature(PAYLOAD, sign(PAYLOAD, read_keys(key)), read_keys(f"{NEW},{OLD}"))


def test_what_is_not_signed_or_signed_by_another_key_is_refused() -> None:
    assert "is not signed; RECSTREAM_SIGNING_KEY" in refusal_of(None, read_keys(NEW))
    message = refusal_of(sign(PAYLOAD, read_keys(OLD)), read_keys(NEW))
    assert name_of(OLD.encode()) in message
    assert name_of(NEW.encode()) in message


@each_cell("keys", [read_keys(NEW), PUBLISHER], ids=["hmac", "ed25519"])
def test_another_payload_or_another_signature_is_refused(keys: Keys) -> None:
    signature = sign(PAYLOAD, keys)
    assert "is not the one" in refusal_of(signature, keys, PAYLOAD + b" ")
    for position in (-2, -40):
        flipped = bytearray(signature)
        flipped[position] ^= 1
        refusal_of(bytes(flipped), keys)


@each_cell("keys", [read_keys(NEW), READER], ids=["hmac", "ed25519"])
@each_cell(
    "signature",
    [
        b"",
        b"\xff\xfe",
        b"hmac-sha256",
        b"sha256 a b",
        b"none  ",
        b"hmac-sha256 \n",
        b"ed25519 a zz",
    ],
)
def test_what_is_no_signature_is_refused(signature: bytes, keys: Keys) -> None:
    refusal_of(signature, keys)


@each_cell("value", ["", "zz", "00", "00" * 64, "00" * 65])
def test_a_known_key_with_another_value_is_refused(value: str) -> None:
    for keys in (read_keys(NEW), PUBLISHER):
        algorithm, name, _ = sign(PAYLOAD, keys).decode().split()
        assert "is not the one" in refusal_of(f"{algorithm} {name} {value}\n".encode(), keys)


def test_keys_are_separated_by_commas_and_the_first_is_first() -> None:
    assert read_keys("") == read_keys("  ") == NO_KEYS
    assert read_keys(f" {NEW} ,{OLD}").shared == (NEW.encode(), OLD.encode())


@each_cell("text", ["short", f"{NEW},", f"{NEW},hush"])
def test_a_short_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"RECSTREAM_SIGNING_KEY=\(secret\)") as refused:
        read_keys(text)
    assert "hush" not in str(refused.value)
    assert "short" not in str(refused.value)


def test_the_name_of_a_key_is_no_part_of_it() -> None:
    old, new = OLD.encode(), NEW.encode()
    assert name_of(new) != name_of(old)
    assert name_of(new) not in new.hex()


# --- a pair of keys: Ed25519 -------------------------------------------------------------------


def test_the_public_key_checks_what_the_private_one_signed_and_cannot_sign() -> None:
    signature = sign(PAYLOAD, PUBLISHER)
    assert signature.startswith(f"ed25519 {name_of(READER.public[0])} ".encode())
    for keys in (READER, PUBLISHER, read_keys(public=f"{OTHER_PAIR.public}, {PAIR.public}")):
        require_signature(PAYLOAD, signature, keys)
    require_signing_key(PUBLISHER)
    require_signing_key(NO_KEYS)
    with pytest.raises(ArtifactError, match="set RECSTREAM_SIGNING_PRIVATE_KEY"):
        require_signing_key(READER)


def test_it_is_the_signature_of_rfc_8032() -> None:
    # section 7.1, test 1: an empty message
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = Ed25519PrivateKey.from_private_bytes(secret)
    assert sign(b"", Keys(private=key)).split()[2].startswith(b"e5564300c360ac729086e2cc806e828a")


def test_what_another_pair_signed_is_refused_and_both_are_named() -> None:
    message = refusal_of(sign(PAYLOAD, read_keys(private=OTHER_PAIR.private)), READER)
    assert name_of(read_keys(public=OTHER_PAIR.public).public[0]) in message
    assert f"RECSTREAM_SIGNING_PUBLIC_KEYS holds {name_of(READER.public[0])}" in message
    assert "RECSTREAM_SIGNING_PUBLIC_KEYS" in refusal_of(None, READER)


def test_a_reader_that_has_both_kinds_of_keys_accepts_both_and_one_that_has_one_only_that() -> None:
    by_hmac, by_pair = sign(PAYLOAD, read_keys(OLD)), sign(PAYLOAD, PUBLISHER)
    both = read_keys(OLD, public=PAIR.public)
    for signature in (by_hmac, by_pair):
        require_signature(PAYLOAD, signature, both)
    assert "RECSTREAM_SIGNING_KEY holds none" in refusal_of(by_hmac, READER)
    assert "RECSTREAM_SIGNING_PUBLIC_KEYS holds none" in refusal_of(by_pair, read_keys(OLD))


def test_a_publisher_with_both_kinds_of_keys_signs_with_the_private_one() -> None:
    assert sign(PAYLOAD, read_keys(OLD, PAIR.private)).startswith(b"ed25519 ")
    assert sign(PAYLOAD, read_keys(OLD, public=PAIR.public)).startswith(b"hmac-sha256 ")


def test_a_private_key_whose_public_key_the_readers_lack_is_refused() -> None:
    assert len(read_keys("", PAIR.private, f"{OTHER_PAIR.public},{PAIR.public}").public) == 2
    with pytest.raises(
        ConfigurationError, match="versions that it signs would be refused"
    ) as refused:
        read_keys("", PAIR.private, OTHER_PAIR.public)
    assert PAIR.private not in str(refused.value)


@each_cell("text", ["hush", PAIR.public, OTHER_PRIVATE, "aHVzaA==", "hüsh"])
def test_what_is_no_private_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="openssl genpkey -algorithm ed25519") as refused:
        read_keys(private=text)
    assert text not in str(refused.value)


@each_cell("text", ["hush", PAIR.private, OTHER_PUBLIC, f"{PAIR.public},", "hüsh"])
def test_what_is_no_public_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="RECSTREAM_SIGNING_PUBLIC_KEYS: key") as refused:
        read_keys(public=text)
    assert text not in str(refused.value)


def test_the_documented_lines_of_openssl_make_such_keys(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/share-a-registry.md").read_text("utf-8")
    (lines,) = re.findall(r"```sh\n(openssl genpkey .*?)```", page, re.DOTALL)
    subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=tmp_path, check=True)
    private, public = ((tmp_path / f"signing.{end}").read_text() for end in ("key", "pub"))
    require_signature(PAYLOAD, sign(PAYLOAD, read_keys(private=private)), read_keys(public=public))
