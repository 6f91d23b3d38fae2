"""Tests can reach no real provider."""

from __future__ import annotations

import os
import socket

import pytest

from hive_console.catalogue import PROVIDERS


def test_no_connection_leaves_this_machine() -> None:
    with socket.socket() as client, pytest.raises(PermissionError, match=r"192\.0\.2\.1"):
        client.connect(("192.0.2.1", 443))


def test_no_provider_is_switched_on() -> None:
    assert [provider.variable for provider in PROVIDERS if provider.variable in os.environ] == []
