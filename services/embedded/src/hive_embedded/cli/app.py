"""The command as a whole: its groups, and how it ends where something is wrong."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import ValidationError

from hive_console.admin_token import NoAdminToken
from hive_console.configuration import ConfigurationError
from hive_embedded.admin import AdminError
from hive_embedded.cli import ledger, serving, topics
from hive_embedded.cli.cache import cache
from hive_embedded.cli.guard import guard
from hive_embedded.cli.importing import importing
from hive_embedded.cli.keys import keys
from hive_embedded.cli.output import AsJson, Column, fail, gateway, show_or_json
from hive_embedded.cli.tenants import tenants
from hive_embedded.cli.usage import usage
from hive_embedded.cli.wallet import wallet
from hive_host import CannotListen, CannotStart
from hive_runtime.sealing import SealingError
from hive_sql import SchemaTooNew

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

app = typer.Typer(
    help="An OpenAI-compatible AI gateway: one base URL and one key in front of every model provider.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
serving.add_to(app)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the models of a running gateway and where each is served."""
    show_or_json(gateway().get_all("/models"), MODELS, as_json=as_json)


app.add_typer(keys, name="keys")
app.add_typer(tenants, name="tenants")
app.add_typer(wallet, name="wallet")
app.add_typer(usage, name="usage")
app.add_typer(guard, name="guard")
app.add_typer(cache, name="cache")
app.add_typer(importing, name="import")
ledger.add_to(app)
topics.add_to(app)


def main() -> None:
    """Run the command; errors an operator can mend are said on stderr in plain words, with exit code 1."""
    try:
        app()
    except ValidationError as error:
        fail(*(serving.setting(each) for each in error.errors(include_input=False)))
    except MENDABLE as error:
        fail(str(error))


def _deployments(model: Any) -> str:
    return ", ".join(f"{each['provider']}:{each['model']}" for each in model["deployments"])


def _aliases(model: Any) -> str:
    return ", ".join(model["aliases"])


def _policy(model: Any) -> str:
    return str(model["routing"]["policy"])


MODELS = (
    Column("id", "id", whole=True),
    Column("aliases", _aliases),
    Column("mode", "mode"),
    Column("deployments", _deployments),
    Column("policy", _policy),
    Column("source", "source"),
)
