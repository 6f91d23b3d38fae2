"""Holds for every test: no provider but the simulator, nothing from the developer's environment."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import Any

import pytest

from hive_console.catalogue import PROVIDERS

pytest_plugins = ["hive_testing.servers.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster", action="store_true", help="run the scenarios against a cluster on real servers"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--cluster` what needs the gateway in one process is left out, else what needs a cluster."""
    other = "embedded" if config.getoption("--cluster") else "cluster"
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_configure() -> None:
    for name in [*os.environ]:
        if name.startswith("HIVE_") or name in {provider.variable for provider in PROVIDERS}:
            del os.environ[name]
    sys.addaudithook(_stay_on_this_machine)


def _stay_on_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every connection that would leave the loopback interface, and every name but this machine's."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
        if not _is_local(host):
            raise PermissionError(f"a test tried to connect to {host}: only this machine may be reached")
    elif event == "socket.getaddrinfo" and arguments[0] is not None:
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        if not _is_local(host):
            raise socket.gaierror(socket.EAI_NONAME, "a test may resolve nothing")


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
