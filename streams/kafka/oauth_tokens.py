"""Tokens of an identity provider for a worker's consumer: OAuth 2.0 client credentials.

An edge: asks the provider over HTTP. librdkafka's clients do this themselves; aiokafka asks its
caller for a token at each connection, so a token is kept until most of its lifetime is over.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from registry.settings import Settings

ANSWER_SECONDS: Final = 10.0
LIFE_USED: Final = 0.8
"""Share of a token's life after which it is exchanged, as librdkafka does."""

DEFAULT_LIFE_SECONDS: Final = 300.0
"""Of a token whose provider does not say how long it holds."""


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """Fetches tokens with the settings' client id and secret."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._token, self._good_until = "", 0.0

    async def token(self) -> str:
        """Return a token that is still good for a while.

        Raises
        ------
        KafkaConnectionError
            If the provider gives none: aiokafka tries again later, as with any lost connection.
        """
        if time.monotonic() >= self._good_until:
            self._token, life = await asyncio.to_thread(self._fetch)
            self._good_until = time.monotonic() + LIFE_USED * life
        return self._token

    def _fetch(self) -> tuple[str, float]:
        settings = self._settings
        form = {"grant_type": "client_credentials"}
        if settings.kafka_oauth_scope:
            form["scope"] = settings.kafka_oauth_scope
        secret = settings.kafka_oauth_client_secret.get_secret_value()
        pair = base64.b64encode(f"{settings.kafka_oauth_client_id}:{secret}".encode()).decode()
        request = urllib.request.Request(
            settings.kafka_oauth_token_url,
            urllib.parse.urlencode(form).encode(),
            {"Authorization": f"Basic {pair}", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                found = json.load(answer)
            return str(found["access_token"]), float(found.get("expires_in", DEFAULT_LIFE_SECONDS))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KafkaConnectionError(
                f"KAFKA_OAUTH_TOKEN_URL={settings.kafka_oauth_token_url!r} issued no token: {error}"
            ) from error
