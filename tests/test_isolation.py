"""Tests can reach no real provider."""

from __future__ import annotations

import os
import socket

import pytest

from hive_console.catalogue import PROVIDERS


def test_no_connection_leaves_this_machine() -> None:
    with socket.socket() as client, pytest.raises(PermissionError, match=r"192\.0\.2\.1"):
        client.connect(("192.0.2.1", 443))


@pytest.mark.parametrize("host", ["example.com", b"example.com", "192.0.2.1"])
def test_no_name_is_resolved(host: str | bytes) -> None:
    with pytest.raises(socket.gaierror, match="a test may resolve nothing"):
        socket.getaddrinfo(host, 443)


@pytest.mark.parametrize("host", [None, "localhost", b"localhost", "127.0.0.1", "::1"])
def test_this_machine_is_found(host: str | bytes | None) -> None:
    assert socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)


def test_no_provider_is_switched_on() -> None:
    assert [provider.variable for provider in PROVIDERS if provider.variable in os.environ] == []
