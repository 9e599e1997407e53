"""Ports of this machine's loopback: which are free, and whether somebody listens.

Must not know for whom.
"""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

from registry.errors import TransportError

HOST: Final = "127.0.0.1"

PORTS: Final = range(20_000, 32_000)
"""Below the ports that Linux and macOS give to outgoing connections, so that none of our own
clients takes one between the look and the bind."""

CONNECT_SECONDS: Final = 1.0


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that nobody listens on now.

    Raises
    ------
    TransportError
        If there are not as many.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for port in random.SystemRandom().sample(PORTS, len(PORTS)):
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # taken: try the next
                probe.bind((HOST, port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise TransportError(f"no {count} free ports in {PORTS.start}..{PORTS.stop - 1}")


def free_port() -> int:
    """Return a port that nobody listens on now."""
    return free_ports(1)[0]


def listens(host: str, port: int) -> bool:
    """Tell whether somebody takes connections there."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
