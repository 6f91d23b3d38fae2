"""`serve` and `check`: the gateway itself, and what it would start with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from hive_analytics.settings import AnalyticsSettings
from hive_billing.settings import BillingSettings
from hive_console.configuration import load
from hive_console.settings import ConsoleSettings
from hive_edge.settings import EdgeSettings
from hive_embedded.cli.output import AsJson, err, fail, out, say_json
from hive_routing.settings import RoutingSettings
from hive_runtime.garbage import uncollected
from hive_runtime.settings import HostSettings

if TYPE_CHECKING:
    from hive_embedded.main import Started

SETTINGS = (HostSettings, ConsoleSettings, BillingSettings, AnalyticsSettings, RoutingSettings, EdgeSettings)


def add_to(app: typer.Typer) -> None:
    app.command()(serve)
    app.command()(check)


def serve() -> None:
    """Run the whole gateway in this process.

    Settings come from the environment (`HIVE_PORT`, `HIVE_DATA_DIR`, …; docs/configuration.md has all) and
    from `modelhive.yaml`. SIGTERM lets running requests finish, then exits with 0.
    """
    with uncollected():
        from hive_embedded.main import run  # the gateway's imports are not for the other commands to wait for
    run(_greet)


def check(
    config: Annotated[
        Path | None, typer.Argument(help="Configuration file; default: HIVE_CONFIG or ./modelhive.yaml.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Validate settings and the configuration file, say every mistake at once, and exit."""
    problems = [*_wrong_settings()]
    if problems:
        fail(*problems)
    settings = ConsoleSettings()
    path = config or settings.file
    if path is None:
        if as_json:
            say_json({"config": None, "providers": 0, "models": 0})
        else:
            out.print("The settings are fine; there is no modelhive.yaml here, and none is needed.")
        return
    catalogue = load(path, settings.environment)
    for warning in catalogue.warnings:
        err.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
    found = {"config": str(path), "providers": len(catalogue.providers), "models": len(catalogue.models)}
    if as_json:
        say_json(found)
    else:
        out.print(f"{path}: fine ({found['providers']} providers, {found['models']} models)")


def setting(error: Any) -> str:
    """What is wrong with which environment variable; never its value, which may be a secret."""
    return f"HIVE_{'_'.join(map(str, error['loc'])).upper()}: {error['msg']}"


def _wrong_settings() -> Iterator[str]:
    """Every variable that no service can start with, each once."""
    found: dict[str, None] = {}
    for kind in SETTINGS:
        try:
            kind()
        except ValidationError as error:
            found |= dict.fromkeys(setting(each) for each in error.errors(include_input=False))
    yield from found


def _greet(started: Started) -> None:
    """Tell what was made at the first start, with a call that can be pasted. Keys are shown this once."""
    out.print(
        f"ModelHive answers at [bold]{started.url}/v1[/bold] (internal: {started.internal_url})",
        soft_wrap=True,
    )
    if started.new_admin_token:
        out.print(f"Admin token (kept in the data folder): {started.new_admin_token}", soft_wrap=True)
    if started.first_key:
        out.print(f"API key of tenant default, shown this once: {started.first_key}", soft_wrap=True)
        out.print("\nTry it; the model runs on this machine:\n")
        question = '[{"role": "user", "content": "What is a bee?"}]'
        body = f'{{"model": "local/smollm2-135m", "messages": {question}, "max_tokens": 80}}'
        call = f"""curl {started.url}/v1/chat/completions \\
  -H 'Authorization: Bearer {started.first_key}' \\
  -H 'Content-Type: application/json' \\
  -d '{body}'"""
        out.print(call, soft_wrap=True, highlight=False, markup=False)
