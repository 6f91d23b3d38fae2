"""The `modelhive` command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from hive_analytics.settings import AnalyticsSettings
from hive_billing.settings import BillingSettings
from hive_console.admin_token import NoAdminToken
from hive_console.configuration import ConfigurationError, load
from hive_console.settings import ConsoleSettings
from hive_edge.settings import EdgeSettings
from hive_embedded.admin import Admin, AdminError
from hive_embedded.settings import CommandSettings
from hive_host import CannotListen, CannotStart
from hive_routing.settings import RoutingSettings
from hive_runtime.sealing import SealingError
from hive_runtime.settings import HostSettings
from hive_sql import SchemaTooNew

app = typer.Typer(
    help="An OpenAI-compatible AI gateway: one base URL and one key in front of every model provider.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")

if TYPE_CHECKING:
    from hive_embedded.main import Started

MENDABLE = (
    AdminError,
    CannotListen,
    CannotStart,
    ConfigurationError,
    NoAdminToken,
    SchemaTooNew,
    SealingError,
)
"""Errors whose words an operator can act on."""

out = Console()
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def main() -> None:
    """Run the command; errors an operator can mend are said on stderr in plain words, with exit code 1."""
    try:
        app()
    except ValidationError as error:
        _fail(*(_setting(each) for each in error.errors(include_input=False)))
    except MENDABLE as error:
        _fail(str(error))


def _wrong_settings() -> Iterator[str]:
    """Every variable that no service can start with."""
    for kind in (
        HostSettings,
        EdgeSettings,
        RoutingSettings,
        BillingSettings,
        AnalyticsSettings,
        ConsoleSettings,
    ):
        try:
            kind()
        except ValidationError as error:
            yield from (_setting(each) for each in error.errors(include_input=False))


def _fail(*lines: str) -> NoReturn:
    for line in lines:
        err.print(f"[red]error:[/red] {escape(line)}", soft_wrap=True, highlight=False)
    raise SystemExit(1)


def _setting(error: Any) -> str:
    """What is wrong with which environment variable; never its value, which may be a secret."""
    return f"HIVE_{'_'.join(map(str, error['loc'])).upper()}: {error['msg']}"


@app.command()
def serve() -> None:
    """Run the whole gateway in this process.

    Settings come from the environment (`HIVE_PORT`, `HIVE_DATA_DIR`, …; docs/configuration.md has all) and
    from `modelhive.yaml`. SIGTERM lets running requests finish, then exits with 0.
    """
    from hive_embedded.main import run  # the gateway's imports are not for the other commands to wait for

    run(_greet)


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


@app.command()
def check(
    config: Annotated[
        Path | None, typer.Argument(help="Configuration file; default: HIVE_CONFIG or ./modelhive.yaml.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Validate settings and the configuration file, say every mistake at once, and exit."""
    problems = [*_wrong_settings()]
    if problems:
        _fail(*problems)
    settings = ConsoleSettings()
    path = config or settings.file
    if path is None:
        out.print("The settings are fine; there is no modelhive.yaml here, and none is needed.")
        return
    catalogue = load(path, settings.environment)
    for warning in catalogue.warnings:
        err.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
    found = {"config": str(path), "providers": len(catalogue.providers), "models": len(catalogue.models)}
    if as_json:
        out.print_json(json.dumps(found))
    else:
        out.print(f"{path}: fine ({found['providers']} providers, {found['models']} models)")


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the models of a running gateway and where each is served."""
    found = _admin().get_all("/models")
    _show(found, as_json, ["id", "mode", "deployments", "source"], {"deployments": _deployments})


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")] = "",
    named: Annotated[str, typer.Option("--name", help="The same, as an option.")] = "",
    tenant: Annotated[str, typer.Option(help="Who pays.")] = "default",
    model: Annotated[list[str] | None, typer.Option(help="Allow this model only; may be repeated.")] = None,
    expires_at: Annotated[int | None, typer.Option(help="Unix seconds.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests per minute, at most.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens per minute, at most.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests at a time, at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. It is shown this once and kept nowhere."""
    limits = {"rpm": rpm, "tpm": tpm, "concurrency": concurrency}
    body = {"tenant": tenant, "name": named or name, "models": model or None, "expires_at": expires_at}
    made = _admin().call("POST", "/keys", body | limits)
    if as_json:
        out.print_json(json.dumps(made))
    else:
        out.print(f"{made['key']}", soft_wrap=True, highlight=False)
        err.print(f"Key {made['id']} of tenant {made['tenant']}; it is shown this once.")


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None, as_json: AsJson = False
) -> None:
    """List the keys; only their last characters are known."""
    found = [key for key in _admin().get_all("/keys") if tenant in (None, key["tenant"])]
    columns = ["id", "tenant", "name", "last_four", "models", "expires_at"]
    columns += ["rpm", "tpm", "concurrency", "revoked"]
    _show(found, as_json, columns, {"models": _models, "expires_at": _moment})


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="The key's id, `key_…`.")], as_json: AsJson = False
) -> None:
    """Revoke a key: within a second no request gets in with it."""
    gone = _admin().call("DELETE", f"/keys/{key}")
    if as_json:
        out.print_json(json.dumps(gone))
    else:
        out.print(f"Revoked {key}.")


def _admin() -> Admin:
    return Admin(CommandSettings())


def _show(
    rows: list[dict[str, Any]], as_json: bool, columns: list[str], words: dict[str, Callable[[Any], str]]
) -> None:
    if as_json:
        out.print_json(json.dumps(rows))
        return
    table = Table(*(Column(name, no_wrap=name == "id", overflow="fold") for name in columns))
    for row in rows:
        cells = [words.get(column, _plain)(row.get(column)) for column in columns]
        table.add_row(*(escape(cell) for cell in cells))
    out.print(table)


def _plain(value: Any) -> str:
    return "" if value is None else str(value)


def _models(value: list[str] | None) -> str:
    return "all" if value is None else ", ".join(value) or "none"


def _moment(value: int | None) -> str:
    return "never" if value is None else f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M} UTC"


def _deployments(value: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['provider']}:{each['model']}" for each in value)
