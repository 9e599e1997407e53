"""Loopback ports: finds free ones, and checks whether one is in use."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

from registry.errors import TransportError

HOST: Final = "127.0.0.1"

PORTS: Final = range(20_000, 32_000)
"""Below the ephemeral ports of Linux and macOS, so that none of our own clients takes one between
the check and the bind."""

CONNECT_SECONDS: Final = 1.0


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that are free now.

    Raises
    ------
    TransportError
        If there are not enough.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for port in random.SystemRandom().sample(PORTS, len(PORTS)):
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # in use: try the next
                probe.bind((HOST, port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise TransportError(f"fewer than {count} free ports in {PORTS.start}..{PORTS.stop - 1}")


def free_port() -> int:
    """Return a port that is free now."""
    return free_ports(1)[0]


def listens(host: str, port: int) -> bool:
    """Return whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
