"""What the process of a service imports before it has read its settings: memory of all of them, time of every start."""

from __future__ import annotations

import subprocess
import sys

import pytest

LARGE = {
    "aiokafka", "alembic", "asyncpg", "chdb", "clickhouse_connect", "cryptography", "fastapi", "nacl",
    "numpy", "obstore", "onnxruntime", "opentelemetry", "pyarrow", "rich.console", "sqlalchemy",
    "sqlalchemy.dialects.postgresql", "sqlalchemy.orm", "trio", "yaml",
}  # fmt: skip
"""Each is a megabyte or more. What is in no list below is imported where a setting, or a request, asks for it."""

NEEDED = {
    "edge": set(),
    "routing": {"nacl", "sqlalchemy"},
    "console": {"nacl", "sqlalchemy", "yaml"},
    "billing": {"sqlalchemy", "sqlalchemy.dialects.postgresql"},  # its partial indexes name it
    "guardrails": {"numpy"},
    "analytics": set(),
}


@pytest.mark.parametrize("service", NEEDED)
def test_a_service_imports_no_library_that_it_can_do_without(service: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", f"hive_{service}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert f"hive_{service}.service" in imported
    assert imported & LARGE == NEEDED[service]
