"""Bifrost's Go library behind the plain door in `bifrost_door/`, where its own program cannot be had.

Its npm package holds no program: it downloads one. `go.sum` pins what is built.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.subject import Ground, Running, Subject, bytes_below, started
from benchmarks.processes import free_ports

HOME = Path(".venv/peers/bifrost")
PROGRAM = HOME / "door"
SOURCE = Path(__file__).parent / "bifrost_door"
MODULE = "github.com/maximhq/bifrost/core"
BUILD_TIMEOUT = 900.0
WHY_NOT = HOME / "why-not"
"""What the build said, where it failed."""
SETTINGS = (
    "its Go library `core` behind a door of this harness (`benchmarks/peers/bifrost_door`) that reads and writes JSON "
    "and does nothing else: no keys, no configuration, no log, no metrics, no plugins, so less than Bifrost's own "
    "program; concurrency and buffer above what is asked. Its program and newer releases could not be had as Go modules"
)


def build() -> str | None:
    """Build it with Go; returns what the build said where that failed, and keeps it."""
    HOME.mkdir(parents=True, exist_ok=True)
    WHY_NOT.unlink(missing_ok=True)
    go = shutil.which("go")
    if go is None:
        return "there is no Go"
    home = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(Path.home()),
        "CGO_ENABLED": "0",
        "GOFLAGS": "-trimpath -mod=readonly",
    }
    try:
        done = subprocess.run(
            [go, "build", "-o", str(PROGRAM.absolute()), "."],
            cwd=SOURCE,
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
        "Bifrost core",
        _version(),
        SETTINGS,
        running,
        _missing(),
        {
            "keys": "its virtual keys are a matter of its own program",
            "hit": "its cache is a plugin that needs a vector store",
            "failover": "its fallbacks are named by each caller",
        },
        lambda: bytes_below(HOME),
    )


@contextmanager
def running(ground: Ground) -> Iterator[Running]:
    folder = ground.place("bifrost")
    (port,) = free_ports(1)
    command = [str(PROGRAM.absolute()), str(port), f"http://127.0.0.1:{ground.provider.port}"]
    with started(command, {}, folder, port) as found:
        yield found


def _version() -> str:
    found = re.search(rf"{MODULE} (\S+)", (SOURCE / "go.mod").read_text())
    return found[1] if found else ""


def _missing() -> str | None:
    if PROGRAM.exists():
        return None
    said = WHY_NOT.read_text().strip().splitlines() if WHY_NOT.exists() else []
    refused = [line.strip() for line in said if "Forbidden" in line or "server response" in line]
    why = f": {_without_address((refused or said)[-1])}" if said else ""
    return f"its Go library {_version()} was not built{why}"


def _without_address(line: str) -> str:
    return " ".join(word for word in line.split() if "://" not in word)
