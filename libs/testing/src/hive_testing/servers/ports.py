"""Ports of servers that are killed and started again: they must be theirs when they come back."""

from __future__ import annotations

import random
import socket
import sys

HOST = "127.0.0.1"
# Below what the kernel hands out to clients. A client that keeps trying to reach a dead server's port could be given
# that very port as its own, and would then be connected to itself.
LOWEST, HIGHEST = 20_000, 32_000
_given: set[int] = set()


def free_port() -> int:
    """A TCP port that nobody listens on, that this process has not had before, and no other test run has now."""
    for _ in range(1000):
        port = random.randrange(LOWEST, HIGHEST)
        if port not in _given and _is_free(port) and _is_reserved(port):
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


def _is_reserved(port: int) -> bool:
    """Mark it as this process's for as long as that lives, whether or not somebody listens on it just then."""
    if sys.platform != "linux":
        return True
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0modelhive-tests-port-{port}")
    except OSError:
        mark.close()
        return False
    mark.detach()  # the kernel closes it
    return True
