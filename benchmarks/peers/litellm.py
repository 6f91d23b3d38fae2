"""LiteLLM's proxy, installed from `requirements.lock` into an environment of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bodies import PLAIN, Form, Kind
from benchmarks.peers.subject import Ground, Running, Subject, bytes_below, started
from benchmarks.processes import KEY, free_ports

HOME = Path(".venv/peers/litellm")
COMMAND = HOME / "bin" / "litellm"
MODELS = ("bench-model", "bench-hold", "bench-embed", "bench-batch")
ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MASTER_KEY": KEY,
    # As many connections to one upstream as streams are held open:
    "AIOHTTP_CONNECTOR_LIMIT": "2000",
    "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "2000",
    # Nothing but the loopback address is to be reached:
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
}
SETTINGS = (
    "pip, one worker process on uvloop, master key, no database, no callbacks, log level ERROR, requests logged "
    "nowhere, up to 2,000 connections to one upstream, in-memory cache that only the cache scenario asks for, "
    "telemetry off, its own copy of the price map"
)


def subject() -> Subject:
    missing = None if COMMAND.exists() else f"{COMMAND} is not there: `make bench-peers` installs it"
    return Subject(
        "litellm",
        "LiteLLM",
        _version(),
        SETTINGS,
        running,
        missing,
        {"keys": "without a database it has one key"},
        lambda: bytes_below(HOME),
    )


@contextmanager
def running(ground: Ground) -> Iterator[Running]:
    folder = ground.place("litellm")
    (port,) = free_ports(1)
    config = folder / "config.yaml"
    config.write_text(json.dumps(configuration(ground.provider.port)))
    command = [str(COMMAND.absolute()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    options = ["--num_workers", "1", "--telemetry", "False", "--keepalive_timeout", "75"]
    with started([*command, *options], ENVIRONMENT, folder, port, form) as found:
        yield found


def form(kind: Kind) -> Form:
    return Form(members={"cache": {"use-cache": True}}) if kind is Kind.HIT else PLAIN


def configuration(upstream_port: int) -> dict[str, object]:
    """Its configuration file; JSON is YAML too."""
    root = f"http://127.0.0.1:{upstream_port}"

    def model(name: str, base: str) -> dict[str, object]:
        return {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}", "api_base": base, "api_key": "sk-upstream"},
        }

    failover = [model("bench-failover", f"{root}{path}") for path in ("/failing/v1", "/v1")]
    return {
        "model_list": [*(model(name, f"{root}/v1") for name in MODELS), *failover],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {
            "request_timeout": 60,
            "telemetry": False,
            "num_retries": 2,
            "cache": True,
            "cache_params": {"type": "local", "mode": "default_off"},
        },
    }


def _version() -> str:
    found = [each.name.split("-")[1] for each in HOME.glob("lib/*/site-packages/litellm-*.dist-info")]
    return found[0].removesuffix(".dist") if found else ""
