"""What Kafka's clients are configured with, and the files that it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.certificates import Authority

from registry.connection.client_config import client_config
from registry.errors import ConfigurationError
from registry.settings import Settings, read_settings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


def tls(**files: object) -> Settings:
    return read_settings(
        {"KAFKA_SECURITY_PROTOCOL": "SSL"} | {name: str(path) for name, path in files.items()}
    )


def test_a_plain_client_needs_only_the_address() -> None:
    assert client_config(read_settings({"KAFKA_BOOTSTRAP_SERVERS": "k:1,l:2"})) == {
        "bootstrap.servers": "k:1,l:2",
        "security.protocol": "PLAINTEXT",
        "socket.timeout.ms": 10_000,
        "reconnect.backoff.max.ms": 1_000,
        "metadata.recovery.strategy": "rebootstrap",
        "log_level": 5,
    }


def test_tls_and_sasl_settings_reach_the_client(authority: Authority) -> None:
    config = client_config(
        read_settings(
            {
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "KAFKA_SASL_MECHANISM": "PLAIN",
                "KAFKA_SASL_USERNAME": "anna",
                "KAFKA_SASL_PASSWORD": "secret",
                "KAFKA_SSL_CA": str(authority.certificate),
            }
        )
    )
    assert config["sasl.mechanism"] == "PLAIN"
    assert (config["sasl.username"], config["sasl.password"]) == ("anna", "secret")
    assert config["ssl.ca.location"] == str(authority.certificate)
    assert "ssl.key.location" not in config  # empty paths stay with librdkafka's default


def test_client_certificates_reach_the_client_without_sasl(authority: Authority) -> None:
    own = authority.sign("client")
    config = client_config(tls(KAFKA_SSL_CERTIFICATE=own.certificate, KAFKA_SSL_KEY=own.key))
    assert config["ssl.certificate.location"] == str(own.certificate)
    assert config["ssl.key.location"] == str(own.key)


def test_tokens_of_a_provider_reach_the_client() -> None:
    config = client_config(
        read_settings(
            {
                "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
                "KAFKA_OAUTH_TOKEN_URL": "https://id.example/token",
                "KAFKA_OAUTH_CLIENT_ID": "shop",
                "KAFKA_OAUTH_CLIENT_SECRET": "secret",
            }
        )
    )
    assert {name: config[name] for name in config if name.startswith("sasl.")} == {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": "https://id.example/token",
        "sasl.oauthbearer.client.id": "shop",
        "sasl.oauthbearer.client.secret": "secret",
    }


def test_a_file_that_cannot_be_used_is_named(authority: Authority, tmp_path: Path) -> None:
    own, other = authority.sign("one"), authority.sign("two")
    pair = {"KAFKA_SSL_CERTIFICATE": own.certificate, "KAFKA_SSL_KEY": own.key}
    wrong = {
        "KAFKA_SSL_CA='/nope.pem': No such file or directory": {"KAFKA_SSL_CA": "/nope.pem"},
        "no certificate or crl found; must be a PEM file": {"KAFKA_SSL_CA": own.key},
        "KAFKA_SSL_CERTIFICATE='/nope.crt'": pair | {"KAFKA_SSL_CERTIFICATE": "/nope.crt"},
        "KAFKA_SSL_KEY='/nope.key'": pair | {"KAFKA_SSL_KEY": "/nope.key"},
        "key values mismatch": pair | {"KAFKA_SSL_KEY": other.key},
    }
    for sentence, files in wrong.items():
        with pytest.raises(ConfigurationError) as refusal:
            client_config(tls(**files))
        assert sentence in str(refusal.value)


def test_a_further_setting_reaches_the_client_and_a_wrong_one_is_named() -> None:
    config = client_config(read_settings({"KAFKA_CLIENT_SETTINGS": "socket.keepalive.enable=true"}))
    assert config["socket.keepalive.enable"] == "true"

    for wrong, named in (("sokcet.x=1", "sokcet.x"), ("socket.keepalive.enable=2s", "keepalive")):
        with pytest.raises(ConfigurationError, match=f"KAFKA_CLIENT_SETTINGS: .*{named}"):
            client_config(read_settings({"KAFKA_CLIENT_SETTINGS": wrong}))
