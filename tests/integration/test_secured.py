"""A secured Kafka: TLS, SASL, mutual TLS, tokens and ACLs, with real processes, and what is wrong.

One broker for all of them. Each test has a topic prefix of its own, and users of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.certificates import Authority
from harness.fresh import environment_of, fresh_settings, without
from harness.secured import PASSWORD, SecuredBroker, secured_broker
from harness.tokens import CLIENT_SECRET
from harness.workers import ROOT

from ops.client import require_broker
from registry.errors import TransportError
from registry.permissions import Role, permissions_of
from registry.settings import Settings, read_settings

TOKEN = "T0ken-that-must-stay-secret-0123456789"
SECRETS = (PASSWORD, TOKEN, CLIENT_SECRET)
RATINGS = "userId,movieId,rating,timestamp\n" + "".join(
    f"{user},{(user * 7 + item * item) % 40},{3 + (user + item) % 3},{user * 50 + item}\n"
    for user in range(60)
    for item in range(12)
)
AT_ONCE_SECONDS = 4.0
"""A wrong setting is named within this; librdkafka alone would go on trying for its five seconds,
and then say nothing of it. The machine may be busy: 1.4 s on a quiet one."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


def with_role(secured: SecuredBroker, folder: Path, role: Role, **more: str) -> Settings:
    """Return settings of a new user who may do what `role` needs, and nothing else."""
    user = f"{role}-{uuid.uuid4().hex[:6]}"
    secured.set_password(user)
    settings = fresh_settings(secured.scram, folder, **secured.variables(user=user), **more)
    secured.allow(f"User:{user}", permissions_of(settings, role))
    return settings


def recstream(settings: Settings, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *map(str, words)],
        env=without(os.environ) | environment_of(settings) | {"COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def done(settings: Settings, *words: object) -> str:
    ended = recstream(settings, *words)
    output = ended.stdout + ended.stderr
    assert ended.returncode == 0, (words, output)
    assert not [secret for secret in SECRETS if secret in output]
    return ended.stdout


WRONG: dict[str, tuple[Callable[[SecuredBroker], dict[str, str]], str]] = {
    "password": (
        lambda b: {"KAFKA_SASL_PASSWORD": "another"},
        "does not accept KAFKA_SASL_USERNAME='recstream' with this KAFKA_SASL_PASSWORD",
    ),
    "user": (
        lambda b: {"KAFKA_SASL_USERNAME": "nobody"},
        "does not accept KAFKA_SASL_USERNAME='nobody'",
    ),
    "authority": (
        lambda b: {"KAFKA_SSL_CA": str(b.other_ca)},
        "is not signed by an authority that is trusted here (KAFKA_SSL_CA: '",
    ),
    "no authority": (lambda b: {"KAFKA_SSL_CA": ""}, "(KAFKA_SSL_CA: unset, the system's)"),
    "expired certificate": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": b.expired},
        "its certificate has expired",
    ),
    "certificate of another host": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": b.foreign},
        "its certificate is for another host name",
    ),
    "plaintext at TLS": (
        lambda b: {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"},
        "it speaks TLS, and KAFKA_SECURITY_PROTOCOL is 'PLAINTEXT'",
    ),
    "SASL without TLS at TLS": (
        lambda b: {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
        "it speaks TLS, and KAFKA_SECURITY_PROTOCOL is 'SASL_PLAINTEXT'",
    ),
    "TLS at plaintext": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": b.plain},
        "it does not speak TLS, and KAFKA_SECURITY_PROTOCOL is 'SASL_SSL'",
    ),
    "no SASL where it is asked for": (
        lambda b: {"KAFKA_SECURITY_PROTOCOL": "SSL"},
        "it asks for SASL (SCRAM-SHA-512), and KAFKA_SECURITY_PROTOCOL is 'SSL'; use SASL_SSL",
    ),
    "mechanism": (
        lambda b: {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
        "does not offer KAFKA_SASL_MECHANISM='SCRAM-SHA-256'; it offers SCRAM-SHA-512",
    ),
    "no client certificate": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": b.mutual, "KAFKA_SECURITY_PROTOCOL": "SSL"},
        "set KAFKA_SSL_CERTIFICATE and KAFKA_SSL_KEY",
    ),
    "client certificate of a stranger": (
        lambda b: b.mutual_variables() | _stranger(b),
        "does not accept KAFKA_SSL_CERTIFICATE='",
    ),
    "client secret": (
        lambda b: b.token_variables() | {"KAFKA_OAUTH_CLIENT_SECRET": "another"},
        "check KAFKA_OAUTH_TOKEN_URL='http://",
    ),
    "host name": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": "kafka.invalid:9092"},
        "its host name is not known",
    ),
}


def _stranger(broker: SecuredBroker) -> dict[str, str]:
    folder = broker.folder / uuid.uuid4().hex
    folder.mkdir()
    own = Authority(folder, "stranger-ca").sign("stranger")
    return {"KAFKA_SSL_CERTIFICATE": str(own.certificate), "KAFKA_SSL_KEY": str(own.key)}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_setting_is_named_at_once(secured: SecuredBroker, fault: str) -> None:
    change, sentence = WRONG[fault]
    settings = read_settings(secured.variables() | change(secured))
    started = time.monotonic()
    with pytest.raises(TransportError) as refusal:
        require_broker(settings)
    seconds = time.monotonic() - started
    assert sentence in str(refusal.value)
    assert seconds < AT_ONCE_SECONDS or fault == "host name"  # that one may pass: a name server
