"""`import`: bring over what another gateway was told."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hive_console.importing.litellm import Imported, Listed, ListPrice, import_litellm
from hive_console.importing.report import Level, Report
from hive_console.importing.source import read_answer, read_source
from hive_console.settings import ConsoleSettings
from hive_embedded.applying import Applied, Applying
from hive_embedded.cli.output import AsJson, fail, gateway, note, say, say_json
from hive_runtime.clock import SystemClock

INCOMPLETE = 3
"""The exit code where something was not carried over, or is still to do."""

importing = typer.Typer(
    help="Bring over the configuration and the keys of another gateway.", no_args_is_help=True
)


@importing.callback()
def _group() -> None:
    """With a single command in it, the group would be that command."""


@importing.command("litellm")
def import_from_litellm(
    config: Annotated[Path, typer.Argument(help="LiteLLM's configuration file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the configuration to this new file.")
    ] = None,
    keys: Annotated[
        list[Path] | None,
        typer.Option(
            help="What `GET /key/list?return_full_object=true` of LiteLLM answered; may be repeated."
        ),
    ] = None,
    teams: Annotated[
        list[Path] | None, typer.Option(help="What `GET /team/list` answered; may be repeated.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose the keys without a team become.")] = "default",
    apply: Annotated[
        bool, typer.Option("--apply", help="Bring models, tenants and keys into the running gateway.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn a configuration of LiteLLM's proxy into one of this gateway; callers keep their keys.

    Without `--output` and `--apply` the configuration goes to stdout. What could not be carried over is told on
    stderr, with what to do instead: the exit code is then 3, and 0 where all of it was. No secret is ever shown:
    the configuration names environment variables.
    """
    if output is not None and output.exists():
        fail(f"{output} is there already: name another file, or move it away.")
    listed = Listed(
        [(path.name, read_answer(path)) for path in keys or []],
        [read_answer(path) for path in teams or []],
        tenant,
    )
    imported = import_litellm(read_source(config), _list_prices(), int(SystemClock().now()), listed)
    applied = Applying(gateway(), imported, ConsoleSettings().environment).apply() if apply else None
    text = imported.text(config.name)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if output is not None or not apply:
        imported.report.add(imported.lines_for_file())
    if imported.keys and not apply:
        _keys_wait(imported)
    if as_json:
        say_json(_as_json(imported, applied, None if output is not None or apply else text))
    else:
        _tell(imported, applied, output, text)
    if not imported.report.is_complete:
        raise SystemExit(INCOMPLETE)


def _list_prices() -> ListPrice:
    from hive_billing.listed import ListedPrices  # reads a large file, which no other command should wait for

    return ListedPrices.load().find


def _keys_wait(imported: Imported) -> None:
    imported.report.to_do(
        "--keys",
        f"{len(imported.keys)} keys, which stand in no configuration file",
        "Start the gateway, and give this command again with --apply.",
    )


def _tell(imported: Imported, applied: Applied | None, output: Path | None, text: str) -> None:
    if output is None and applied is None:
        typer.echo(text, nl=False)
    _tell_report(imported.report)
    found = f"{len(imported.providers)} providers, {len(imported.models)} models"
    if output is not None:
        say(f"{output}: {found}. `modelhive check {output}` looks through it.")
    if applied is not None:
        for noun, counts in asdict(applied).items():
            if any(counts.values()):
                say(
                    f"{noun}: {counts['made']} new, {counts['changed']} changed, {counts['kept']} left as they are"
                )


def _tell_report(report: Report) -> None:
    lines = report.lines
    for level in Level:
        if of_level := [line for line in lines if line.level is level]:
            note(f"{level.value}:")
            for line in of_level:
                note(f"  {line}")
    if not lines:
        note("All of it was carried over.")


def _as_json(imported: Imported, applied: Applied | None, text: str | None) -> dict[str, Any]:
    return {
        "providers": len(imported.providers),
        "models": len(imported.models),
        "tenants": len(imported.tenants),
        "keys": len(imported.keys),
        "complete": imported.report.is_complete,
        "applied": None if applied is None else asdict(applied),
        "configuration": text,
        "report": [dict(line.as_json()) for line in imported.report.lines],
    }
