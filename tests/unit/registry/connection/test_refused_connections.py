"""Why Kafka cannot be used: each protocol at each listener, each fault of a certificate."""

from __future__ import annotations

from harness.cells import each_cell

from registry.connection.refused_connections import Listener, Reached, Trust, cause_of
from registry.settings import Settings, read_settings

SCRAM = ("SCRAM-SHA-512",)
REFUSED = "SASL authentication error: invalid credentials"


def client(protocol: str, **more: str) -> Settings:
    given = {"KAFKA_SASL_USERNAME": "anna", "KAFKA_SASL_PASSWORD": "hunter2"}
    return read_settings({"KAFKA_SECURITY_PROTOCOL": protocol} | given | more)


def listener(kind: str) -> Listener:
    return {
        "PLAINTEXT": Listener("k:1", mechanisms=()),
        "SSL": Listener("k:1", speaks_tls=True, trust="verified", mechanisms=()),
        "SASL_PLAINTEXT": Listener("k:1", mechanisms=SCRAM),
        "SASL_SSL": Listener("k:1", speaks_tls=True, trust="verified", mechanisms=SCRAM),
    }[kind]


TLS = "KAFKA_SECURITY_PROTOCOL is '{}'; use SSL or SASL_SSL"
CELLS = {
    ("PLAINTEXT", "PLAINTEXT"): None,
    ("PLAINTEXT", "SSL"): "it speaks TLS, and " + TLS.format("PLAINTEXT"),
    ("PLAINTEXT", "SASL_PLAINTEXT"): "it asks for SASL (SCRAM-SHA-512), and "
    "KAFKA_SECURITY_PROTOCOL is 'PLAINTEXT'; use SASL_PLAINTEXT",
    ("PLAINTEXT", "SASL_SSL"): "it speaks TLS, and " + TLS.format("PLAINTEXT"),
    ("SSL", "PLAINTEXT"): "it does not speak TLS, and KAFKA_SECURITY_PROTOCOL is 'SSL'; "
    "use PLAINTEXT",
    ("SSL", "SSL"): None,
    ("SSL", "SASL_PLAINTEXT"): "it does not speak TLS",
    ("SSL", "SASL_SSL"): "it asks for SASL (SCRAM-SHA-512), and KAFKA_SECURITY_PROTOCOL is 'SSL'; "
    "use SASL_SSL",
    ("SASL_PLAINTEXT", "PLAINTEXT"): "it does not offer SASL, and KAFKA_SECURITY_PROTOCOL is "
    "'SASL_PLAINTEXT'; use PLAINTEXT",
    ("SASL_PLAINTEXT", "SSL"): "it speaks TLS",
    ("SASL_PLAINTEXT", "SASL_PLAINTEXT"): None,
    ("SASL_PLAINTEXT", "SASL_SSL"): "it speaks TLS, and KAFKA_SECURITY_PROTOCOL is "
    "'SASL_PLAINTEXT'; use SASL_SSL",
    ("SASL_SSL", "PLAINTEXT"): "it does not speak TLS",
    ("SASL_SSL", "SSL"): "it does not offer SASL, and KAFKA_SECURITY_PROTOCOL is 'SASL_SSL'; "
    "use SSL",
    ("SASL_SSL", "SASL_PLAINTEXT"): "it does not speak TLS, and KAFKA_SECURITY_PROTOCOL is "
    "'SASL_SSL'; use SASL_PLAINTEXT",
    ("SASL_SSL", "SASL_SSL"): None,
}


@each_cell(("protocol", "kind"), CELLS)
def test_the_clients_protocol_is_compared_with_the_listeners(protocol: str, kind: str) -> None:
    cause, expected = cause_of(client(protocol), listener(kind)), CELLS[protocol, kind]
    if expected is None:
        assert cause is None
    else:
        assert cause is not None
        assert expected in cause.sentence
        assert cause.final


@each_cell(
    ("reached", "sentence"),
    [
        ("unresolved", "its host name cannot be resolved"),
        ("refused", "nothing listens there"),
        ("silent", "it does not answer"),
    ],
)
def test_an_address_without_a_broker_may_get_one(reached: Reached, sentence: str) -> None:
    cause = cause_of(client("SASL_SSL"), Listener("k:1", reached, detail="as the system said"))
    assert cause is not None
    assert sentence in cause.sentence
    assert "as the system said" in cause.sentence
    assert "KAFKA_BOOTSTRAP_SERVERS" in cause.sentence
    assert not cause.final


@each_cell(
    ("trust", "sentence"),
    [
        ("expired", "its certificate has expired: detail; have it renewed"),
        ("not_yet_valid", "its certificate is not valid yet"),
        ("other_host", "its certificate is for another host name: detail; use a name"),
        (
            "unknown_authority",
            "trusted authority (KAFKA_SSL_CA: '/ca.pem'): detail; set KAFKA_SSL_CA",
        ),
        ("failed", "the TLS handshake failed"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_said_to_be_so(trust: Trust, sentence: str) -> None:
    seen = Listener("k:1", speaks_tls=True, trust=trust, mechanisms=SCRAM, detail="detail")
    cause = cause_of(client("SASL_SSL", KAFKA_SSL_CA="/ca.pem"), seen)
    assert cause is not None
    assert sentence in cause.sentence
    assert cause.final


def test_a_clients_certificate_is_missing_or_not_accepted() -> None:
    seen = Listener("k:1", speaks_tls=True, trust="verified", certificate_asked=True)
    missing, wrong = (
        cause_of(client("SSL", KAFKA_SSL_CERTIFICATE=path), seen) for path in ("", "/c.pem")
    )
    assert missing is not None
    assert "set KAFKA_SSL_CERTIFICATE and KAFKA_SSL_KEY" in missing.sentence
    assert wrong is not None
    assert "does not accept KAFKA_SSL_CERTIFICATE='/c.pem'" in wrong.sentence


def test_a_mechanism_that_is_not_offered_is_named_with_those_that_are() -> None:
    cause = cause_of(client("SASL_SSL", KAFKA_SASL_MECHANISM="PLAIN"), listener("SASL_SSL"))
    assert cause is not None
    assert "KAFKA_SASL_MECHANISM='PLAIN'; it offers SCRAM-SHA-512" in cause.sentence


def test_credentials_that_are_refused_are_named_without_the_password() -> None:
    cause = cause_of(client("SASL_SSL"), listener("SASL_SSL"), REFUSED)
    assert cause is not None
    assert "KAFKA_SASL_USERNAME='anna' with this KAFKA_SASL_PASSWORD" in cause.sentence
    assert "hunter2" not in cause.sentence


def test_a_token_that_is_refused_names_where_it_came_from() -> None:
    settings = client(
        "SASL_SSL",
        KAFKA_SASL_MECHANISM="OAUTHBEARER",
        KAFKA_OAUTH_TOKEN_URL="https://id.example/token",
        KAFKA_OAUTH_CLIENT_ID="shop",
        KAFKA_OAUTH_CLIENT_SECRET="hunter2",
    )
    seen = Listener("k:1", speaks_tls=True, trust="verified", mechanisms=("OAUTHBEARER",))
    cause = cause_of(settings, seen, "HTTP 401")
    assert cause is not None
    assert "HTTP 401" in cause.sentence
    assert "KAFKA_OAUTH_TOKEN_URL='https://id.example/token'" in cause.sentence
    assert "hunter2" not in cause.sentence


def test_a_listener_that_does_not_say_its_mechanisms_is_no_cause() -> None:
    seen = Listener("k:1", speaks_tls=True, trust="verified", mechanisms=None)
    assert cause_of(client("SASL_SSL"), seen) is None
