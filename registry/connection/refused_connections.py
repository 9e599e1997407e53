"""Why Kafka cannot be used: cause, setting and remedy, from the observations of one address.

Decides only. Must not know sockets or Kafka's clients: `registry.connection.listeners` probes an
address, `registry.connection.reachability` asks a client. librdkafka alone cannot tell: an expired
certificate, one of another host and one of an unknown authority give the same error, and a
plaintext client of a TLS listener only sees the connection close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from registry.settings import Settings

Reached: TypeAlias = Literal["yes", "unresolved", "refused", "silent"]
"""Whether a TCP connection came about; ``silent``: it did not within the time allowed."""

Trust: TypeAlias = Literal[
    "verified", "expired", "not_yet_valid", "other_host", "unknown_authority", "failed"
]
"""What became of the broker's certificate, checked as the settings say."""


@dataclass(frozen=True, slots=True)
class Listener:
    """What was seen of one of Kafka's addresses.

    ``trust`` is None where TLS is not spoken or not asked for; ``certificate_asked`` says that the
    listener closed the connection because it got no client certificate that it trusts;
    ``mechanisms`` are the SASL mechanisms that it offers: none if it asks for no SASL, None if it
    did not say. ``detail`` is what the system said.
    """

    address: str
    reached: Reached = "yes"
    speaks_tls: bool = False
    trust: Trust | None = None
    certificate_asked: bool = False
    mechanisms: tuple[str, ...] | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why Kafka cannot be used, and what to do; ``final`` if waiting does not help."""

    sentence: str
    final: bool


UNTRUSTED: Final[dict[Trust, tuple[str, str]]] = {
    "expired": (
        "its certificate has expired",
        "have it renewed (a wrong clock on this machine looks the same)",
    ),
    "not_yet_valid": (
        "its certificate is not valid yet",
        "check the clocks of both machines, or wait",
    ),
    "other_host": (
        "its certificate is for another host name",
        "use a name from the certificate in KAFKA_BOOTSTRAP_SERVERS and in the broker's "
        "advertised.listeners, or have one issued for this name",
    ),
    "unknown_authority": (
        "its certificate is not signed by a trusted authority",
        "set KAFKA_SSL_CA to the PEM file of the authority that signed it",
    ),
    "failed": ("the TLS handshake failed", "check which TLS versions and ciphers both sides allow"),
}


def cause_of(settings: Settings, listener: Listener, client_error: str = "") -> Cause | None:
    """Return why a client with these settings cannot use this address; None if it is not seen.

    Parameters
    ----------
    settings
        Of the client.
    listener
        What was seen of the address.
    client_error
        What the client said of its authentication; empty if it said nothing.
    """
    return (
        _not_reached(listener)
        or _tls_mismatch(settings, listener)
        or _not_trusted(settings, listener)
        or _sasl_mismatch(settings, listener)
        or _not_authenticated(settings, client_error)
    )


def _not_reached(listener: Listener) -> Cause | None:
    if listener.reached == "yes":
        return None
    seen = {
        "unresolved": "its host name cannot be resolved",
        "refused": "nothing listens there",
        "silent": "it does not answer",
    }[listener.reached]
    return Cause(
        f"{seen} ({listener.detail}); is it up, and is KAFKA_BOOTSTRAP_SERVERS right? "
        "`recstream broker` starts one for a laptop",
        final=False,
    )


def _tls_mismatch(settings: Settings, listener: Listener) -> Cause | None:
    protocol = settings.kafka_security_protocol
    if listener.speaks_tls == protocol.endswith("SSL"):
        return None
    if listener.speaks_tls:
        return _wrong_protocol(protocol, "it speaks TLS", _with_tls(protocol))
    return _wrong_protocol(protocol, "it does not speak TLS", protocol.replace("SSL", "PLAINTEXT"))


def _with_tls(protocol: str) -> str:
    return "SASL_SSL" if protocol.startswith("SASL") else "SSL or SASL_SSL"


def _not_trusted(settings: Settings, listener: Listener) -> Cause | None:
    if listener.trust not in (None, "verified"):
        seen, remedy = UNTRUSTED[listener.trust]
        if listener.trust == "unknown_authority":
            known = repr(settings.kafka_ssl_ca) if settings.kafka_ssl_ca else "unset, the system's"
            seen = f"{seen} (KAFKA_SSL_CA: {known})"
        return Cause(f"{seen}: {listener.detail}; {remedy}", True)
    if listener.certificate_asked:
        if settings.kafka_ssl_certificate:
            seen = f"it does not accept KAFKA_SSL_CERTIFICATE={settings.kafka_ssl_certificate!r}"
            remedy = "use a valid one, signed by an authority in the broker's truststore"
        else:
            seen = "it requires a client certificate (mutual TLS)"
            remedy = "set KAFKA_SSL_CERTIFICATE and KAFKA_SSL_KEY"
        return Cause(f"{seen}: {listener.detail}; {remedy}", True)
    return None


def _sasl_mismatch(settings: Settings, listener: Listener) -> Cause | None:
    protocol, offered = settings.kafka_security_protocol, listener.mechanisms
    if offered is None:
        return None
    if offered and not protocol.startswith("SASL"):
        wanted = "SASL_SSL" if listener.speaks_tls else "SASL_PLAINTEXT"
        return _wrong_protocol(protocol, f"it asks for SASL ({', '.join(offered)})", wanted)
    if not offered and protocol.startswith("SASL"):
        wanted = "SSL" if listener.speaks_tls else "PLAINTEXT"
        return _wrong_protocol(protocol, "it does not offer SASL", wanted)
    if offered and settings.kafka_sasl_mechanism not in offered:
        return Cause(
            f"it does not offer KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism!r}; it offers "
            f"{', '.join(offered)}",
            True,
        )
    return None


def _not_authenticated(settings: Settings, client_error: str) -> Cause | None:
    if not client_error:
        return None
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        return Cause(
            f"it got no token, or does not accept it: {client_error}; check "
            f"KAFKA_OAUTH_TOKEN_URL={settings.kafka_oauth_token_url!r}, KAFKA_OAUTH_CLIENT_ID="
            f"{settings.kafka_oauth_client_id!r}, KAFKA_OAUTH_CLIENT_SECRET and KAFKA_OAUTH_SCOPE",
            True,
        )
    return Cause(
        f"it does not accept KAFKA_SASL_USERNAME={settings.kafka_sasl_username!r} with this "
        f"KAFKA_SASL_PASSWORD ({settings.kafka_sasl_mechanism}); correct them, or create the user "
        "at the broker for this mechanism",
        True,
    )


def _wrong_protocol(protocol: str, seen: str, wanted: str) -> Cause:
    return Cause(f"{seen}, and KAFKA_SECURITY_PROTOCOL is {protocol!r}; use {wanted}", True)
