"""A tiny identity provider: OAuth 2.0 client credentials, signed tokens (JWT)."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "kafka"
CLIENT_SECRET = "cl1ent-secret-that-stays-secret"
LIFE_SECONDS = 60


class IdentityProvider:
    """Gives tokens: whoever knows `CLIENT_SECRET` is the client that it names.

    ``asked`` counts the tokens that were given.
    """

    def __init__(self, folder: Path) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.keys = folder / "jwks.json"
        self.keys.write_text(json.dumps({"keys": [self._public()]}))
        self.asked = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                pair = self.headers.get("Authorization", "").removeprefix("Basic ")
                client, _, secret = base64.b64decode(pair).decode().partition(":")
                known = secret == CLIENT_SECRET
                answer = provider.token(client) if known else {"error": "invalid_client"}
                body = json.dumps(answer).encode()
                self.send_response(200 if known else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def token(self, client: str) -> dict[str, Any]:
        self.asked += 1
        now = int(time.time())
        claims = {"sub": client, "aud": AUDIENCE, "iat": now, "exp": now + LIFE_SECONDS}
        head = {"alg": "RS256", "typ": "JWT", "kid": "tests"}
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        token = b".".join([signed, _encoded(signature)]).decode()
        return {"access_token": token, "token_type": "Bearer", "expires_in": LIFE_SECONDS}

    def _public(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "kid": "tests",
            "use": "sig",
            "alg": "RS256",
            "n": _encoded(numbers.n.to_bytes(256, "big")).decode(),
            "e": _encoded(numbers.e.to_bytes(3, "big")).decode(),
        }


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
