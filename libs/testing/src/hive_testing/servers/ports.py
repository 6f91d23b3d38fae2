"""Ports of servers that are killed and started again: they must be theirs when they come back."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
# Below what the kernel hands out to clients. A client that keeps trying to reach a dead server's port could be given
# that very port as its own, and would then be connected to itself.
LOWEST, HIGHEST = 20_000, 32_000
_given: set[int] = set()


def free_port() -> int:
    """A TCP port that nobody listens on and that this process has not had before."""
    for _ in range(1000):
        port = random.randrange(LOWEST, HIGHEST)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no free port between {LOWEST} and {HIGHEST}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
