"""The files that TLS needs, read before a client is made: librdkafka's errors do not name them."""

from __future__ import annotations

import ssl
from functools import lru_cache

from registry.client_passthrough import passed_through
from registry.errors import ConfigurationError
from registry.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Return how these settings have TLS spoken; the same for all of a process.

    Raises
    ------
    ConfigurationError
        Naming the file that is missing or not what it should be.
    """
    return _context(
        settings.kafka_ssl_ca,
        settings.kafka_ssl_certificate,
        settings.kafka_ssl_key,
        tuple(sorted(passed_through(settings).items())),
    )


@lru_cache(maxsize=8)
def _context(
    ca: str, certificate: str, key: str, more: tuple[tuple[str, str], ...]
) -> ssl.SSLContext:
    further = dict(more)
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"KAFKA_SSL_CA={ca!r}: {reason_of(error)}; must be a PEM file of certificates"
        ) from error
    if certificate:
        password = further.get("ssl.key.password")
        try:
            # Never a prompt: a worker has nobody to ask.
            context.load_cert_chain(certificate, key or None, lambda: password or "")
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"KAFKA_SSL_CERTIFICATE={certificate!r}, KAFKA_SSL_KEY={key!r}: "
                f"{reason_of(error)}; must be PEM files of a certificate and its key (an "
                "encrypted one needs ssl.key.password in KAFKA_CLIENT_SETTINGS)"
            ) from error
    if further.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    if further.get("enable.ssl.certificate.verification") == "false":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def reason_of(error: OSError) -> str:
    """Return what an error of a file, or of TLS, says: without numbers and names of C functions."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return error.strerror or str(error)
