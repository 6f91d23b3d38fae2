"""Portkey's gateway, installed from `package-lock.json`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.bodies import Form, Kind
from benchmarks.peers.subject import Ground, Running, Subject, bytes_below, started
from benchmarks.processes import free_ports

MODULES = Path(__file__).parent / "node_modules"
PACKAGE = MODULES / "@portkey-ai" / "gateway"
SETTINGS = (
    "npm (with @hono/node-server 1.14.1: with newer ones every stream fails), Node in production mode, headless, "
    "stateless: where to ask is said in a header of each request, as its documentation does it"
)


def subject() -> Subject:
    return Subject(
        "portkey",
        "Portkey",
        _version(),
        SETTINGS,
        running,
        _missing(),
        {
            "keys": "it has no keys: callers send the provider's",
            "hit": "without Redis its open edition keeps no cache",
        },
        lambda: bytes_below(MODULES),
    )


@contextmanager
def running(ground: Ground) -> Iterator[Running]:
    folder = ground.place("portkey")
    (port,) = free_ports(1)
    node = shutil.which("node") or "node"
    command = [node, str(PACKAGE / "build" / "start-server.js"), f"--port={port}", "--headless"]
    asked = partial(form, ground.provider.port)
    with started(command, {"NODE_ENV": "production"}, folder, port, asked) as found:
        yield found


def form(upstream_port: int, kind: Kind) -> Form:
    def target(path: str) -> dict[str, object]:
        host = f"http://127.0.0.1:{upstream_port}{path}"
        return {"provider": "openai", "api_key": "sk-upstream", "custom_host": host}

    if kind is Kind.FAILOVER:
        strategy = {"mode": "fallback", "on_status_codes": [503]}
        config: dict[str, object] = {"strategy": strategy, "targets": [target("/failing/v1"), target("/v1")]}
    else:
        config = target("/v1")
    return Form(headers={"x-portkey-config": json.dumps(config, separators=(",", ":"))})


def _missing() -> str | None:
    if not PACKAGE.exists():
        return f"{PACKAGE.name} is not installed: `make bench-peers` does it"
    return None if shutil.which("node") else "there is no Node"


def _version() -> str:
    path = PACKAGE / "package.json"
    return str(json.loads(path.read_text())["version"]) if path.exists() else ""
