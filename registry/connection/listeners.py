"""Probing one of Kafka's addresses: whether it answers, speaks TLS, asks for SASL.

An edge: sockets, TLS, and one question of Kafka's protocol (SaslHandshake, which is answered before
any authentication). Sends no secret. Must not know what its observations mean
(`registry.connection.refused_connections`). Used only after a client has failed.
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import closing
from dataclasses import replace
from typing import Final

from registry.client_passthrough import passed_through
from registry.connection.refused_connections import Listener, Trust
from registry.connection.tls_files import reason_of, tls_context
from registry.settings import Settings

LOOK_SECONDS: Final = 2.0
"""How long each step may take; a handshake between machines takes some tens of milliseconds."""

SASL_HANDSHAKE: Final = 17
"""The API key. Answered by every listener: with the mechanisms, or that SASL is not expected."""

NOT_EXPECTED: Final = 34
"""Error code of a listener without SASL (ILLEGAL_SASL_STATE)."""

VERIFY_CODES: Final[dict[int, Trust]] = {
    9: "not_yet_valid",
    10: "expired",
    18: "unknown_authority",
    19: "unknown_authority",
    20: "unknown_authority",
    21: "unknown_authority",
    62: "other_host",
    64: "other_host",
}
"""OpenSSL's ``X509_V_ERR_…`` numbers."""


def look_at(settings: Settings, address: str) -> Listener:
    """Return what is seen of `address` (``host:port``) by a client with these settings."""
    host, _, port = address.strip().rpartition(":")
    listener = Listener(address.strip())
    try:
        connection = _connected(host, int(port))
    except socket.gaierror as error:
        return replace(listener, reached="unresolved", detail=error.strerror or str(error))
    except TimeoutError:
        return replace(listener, reached="silent", detail=f"no connection in {LOOK_SECONDS:g} s")
    except (OSError, ValueError) as error:
        return replace(listener, reached="refused", detail=str(error))
    with closing(connection):
        listener = _greeted(listener, connection, settings, host)
    if listener.speaks_tls and settings.kafka_security_protocol.endswith("SSL"):
        listener = _verified(listener, settings, host, int(port))
    if not listener.speaks_tls:
        try:
            with closing(_connected(host, int(port))) as plain:
                listener = replace(listener, mechanisms=_mechanisms(plain, settings))
        except OSError:
            pass  # it did not say
    return listener


def _connected(host: str, port: int) -> socket.socket:
    return socket.create_connection((host.strip("[]"), port), LOOK_SECONDS)


def _greeted(
    listener: Listener, connection: socket.socket, settings: Settings, host: str
) -> Listener:
    """Try TLS without looking at the certificate, and ask over it: no secret is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if settings.kafka_ssl_certificate:
        password = passed_through(settings).get("ssl.key.password")
        context.load_cert_chain(
            settings.kafka_ssl_certificate, settings.kafka_ssl_key or None, lambda: password or ""
        )
    try:
        spoken = context.wrap_socket(connection, server_hostname=host)
    except OSError:  # an ssl.SSLError, or a connection that closes
        return listener
    with closing(spoken):
        try:
            offered = _mechanisms(spoken, settings)
        except ssl.SSLError as error:  # TLS 1.3 says so after the handshake
            return replace(
                listener, speaks_tls=True, certificate_asked=True, detail=reason_of(error)
            )
        except OSError:
            offered = None
    return replace(listener, speaks_tls=True, mechanisms=offered)


def _verified(listener: Listener, settings: Settings, host: str, port: int) -> Listener:
    try:
        with closing(_connected(host, port)) as connection:
            tls_context(settings).wrap_socket(connection, server_hostname=host.strip("[]")).close()
    except ssl.SSLCertVerificationError as error:
        trust = VERIFY_CODES.get(error.verify_code, "failed")
        return replace(listener, trust=trust, detail=error.verify_message)
    except OSError as error:
        return replace(listener, trust="failed", detail=reason_of(error))
    return replace(listener, trust="verified")


def _mechanisms(connection: socket.socket, settings: Settings) -> tuple[str, ...] | None:
    """Ask for the mechanisms. OSError if the listener closes the connection instead."""
    asked = settings.kafka_sasl_mechanism.encode()
    question = struct.pack(">hhihh", SASL_HANDSHAKE, 1, 1, -1, len(asked)) + asked
    connection.sendall(struct.pack(">i", len(question)) + question)
    (size,) = struct.unpack(">i", _exactly(connection, 4))
    if not 10 <= size <= 10_000:
        return None
    answer = _exactly(connection, size)
    _, code, count = struct.unpack(">ihi", answer[:10])
    if code == NOT_EXPECTED:
        return ()
    offered, at = [], 10
    for _ in range(count):
        (length,) = struct.unpack_from(">h", answer, at)
        offered.append(answer[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return tuple(offered)


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionResetError("closed")
        received += part
    return received
