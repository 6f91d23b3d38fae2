"""Bifrost, built from its Go module where the module can be had.

Its npm package holds no program: it downloads one. The checksum database of Go pins what is built.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.bodies import PLAIN, Form, Kind
from benchmarks.peers.subject import Ground, Running, Subject, bytes_below, started
from benchmarks.processes import free_ports

HOME = Path(".venv/peers/bifrost")
PROGRAM = "bifrost-http"
MODULE = "github.com/maximhq/bifrost/transports/bifrost-http"
VERSION = "v1.5.16"
BUILD_TIMEOUT = 900.0
WHY_NOT = HOME / "why-not"
"""What the build said, where it failed."""
SETTINGS = (
    "Go module, configuration from a file, no stores, no request log, log level error, drops nothing when it is "
    "behind, concurrency and buffer above what is asked"
)


def build() -> str | None:
    """Build it with `go install`; returns what the build said where that failed, and keeps it."""
    HOME.mkdir(parents=True, exist_ok=True)
    WHY_NOT.unlink(missing_ok=True)
    go = shutil.which("go")
    if _program() or go is None:
        return None if go else "there is no Go"
    home = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(Path.home()),
        "GOBIN": str(HOME.absolute()),
        "GOFLAGS": "-trimpath",
    }
    try:
        done = subprocess.run(
            [go, "install", f"{MODULE}@{VERSION}"],
            env=home,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT,
            check=False,
        )
        reason = done.stderr if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"the build took more than {BUILD_TIMEOUT:g} s"
    if reason:
        WHY_NOT.write_text(reason)
    return reason or None


def subject() -> Subject:
    return Subject(
        "bifrost",
        "Bifrost",
        VERSION,
        SETTINGS,
        running,
        _missing(),
        {
            "keys": "not set up: its virtual keys need a store",
            "hit": "not set up: its cache needs a vector store",
            "failover": "not set up: its fallbacks are named by each caller",
        },
        lambda: bytes_below(HOME),
    )


@contextmanager
def running(ground: Ground) -> Iterator[Running]:
    folder = ground.place("bifrost")
    (port,) = free_ports(1)
    (folder / "config.json").write_text(json.dumps(configuration(ground.provider.port)))
    command = [str(_program()), "-app-dir", str(folder), "-host", "127.0.0.1", "-port", str(port)]
    with started([*command, "-log-level", "error"], {}, folder, port, partial(form)) as found:
        yield found


def form(kind: Kind) -> Form:
    return Form(model_prefix="openai/") if kind is not Kind.TRANSLATED else PLAIN


def configuration(upstream_port: int) -> dict[str, object]:
    key = {"name": "bench", "value": "sk-upstream", "models": ["*"], "weight": 1.0}
    network = {
        "base_url": f"http://127.0.0.1:{upstream_port}",
        "allow_private_network": True,
        "default_request_timeout_in_seconds": 60,
        "max_retries": 0,
    }
    openai = {
        "keys": [key],
        "network_config": network,
        "concurrency_and_buffer_size": {"concurrency": 2000, "buffer_size": 5000},
    }
    return {
        "client": {"drop_excess_requests": False, "enable_logging": False, "initial_pool_size": 1000},
        "providers": {"openai": openai},
        "config_store": {"enabled": False},
        "logs_store": {"enabled": False},
    }


def _program() -> Path | None:
    built = (HOME / PROGRAM).absolute()
    if built.exists():
        return built
    found = shutil.which(PROGRAM)
    return Path(found) if found else None


def _missing() -> str | None:
    if _program():
        return None
    said = WHY_NOT.read_text().strip().splitlines() if WHY_NOT.exists() else []
    refused = [line.strip() for line in said if "Forbidden" in line or "server response" in line]
    why = f": {_without_address((refused or said)[-1])}" if said else ""
    return f"its Go module {VERSION} could not be built{why}; there is no {PROGRAM} on the PATH either"


def _without_address(line: str) -> str:
    return " ".join(word for word in line.split() if "://" not in word)
