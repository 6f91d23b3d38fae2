"""`usage`: questions about what was used and paid."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hive_embedded.admin import AdminError
from hive_embedded.cli import values
from hive_embedded.cli.output import (
    AsCsv,
    AsJson,
    Column,
    Row,
    gateway,
    note,
    say_csv,
    say_json,
    show,
    show_or_json,
)

STEPS = ("minute", "hour", "day")
USUAL_SPAN = "7d"
OF_THEIR_OWN_SPAN = ("runway",)

usage = typer.Typer(help="What was used and paid, by named questions.", invoke_without_command=True)


@usage.callback()
def ask(
    context: typer.Context,
    by: Annotated[
        str, typer.Option(help="key, model, tenant, provider, deployment, tag or day; several with commas.")
    ] = "",
    since: Annotated[
        str | None,
        typer.Option(help="A day or moment, or how long ago: 2026-11-01, 7d, 12h.", show_default=USUAL_SPAN),
    ] = None,
    until: Annotated[str, typer.Option(help="A day or moment, without it; default: now.")] = "",
    step: Annotated[str, typer.Option(help="A row per minute, hour or day.")] = "",
    question: Annotated[str, typer.Option(help="`modelhive usage questions` lists them.")] = "usage",
    where: Annotated[
        list[str] | None, typer.Option(help="Only rows such as model=gpt-4o; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=10_000, help="Rows, at most.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what was used and paid since a while: requests, tokens, dollars.

    Amounts are exact, and those of the ledger.
    """
    if context.invoked_subcommand is not None:
        return
    if as_json and as_csv:
        raise AdminError("--json and --csv: choose one of them.")
    dimensions = values.words(by)
    for each in STEPS:
        if each in dimensions:
            dimensions.remove(each)
            if step not in ("", each):
                raise AdminError(f"--by {each} and --step {step}: choose one of them.")
            step = each
    query: dict[str, object] = {
        "question": question,
        "by": dimensions,
        "step": step,
        "from": since,
        "to": until,
        "limit": limit,
    }
    found = gateway().get("/usage", query | _filters(where or []))
    if as_json:
        say_json(found)
    elif as_csv:
        say_csv(found["data"], [column["name"] for column in found["columns"]])
    else:
        show(found["data"], [_column(column, found["data"]) for column in found["columns"]])
    if found["truncated"]:
        note("There are more rows: --limit shows them.")


@usage.command("questions")
def list_questions(as_json: AsJson = False) -> None:
    """List what can be asked."""
    found = gateway().get("/usage/questions", {})["data"]
    show_or_json(found, QUESTIONS, as_json=as_json)


def _filters(where: list[str]) -> dict[str, object]:
    found: dict[str, list[str]] = {}
    for each in where:
        dimension, sign, value = each.partition("=")
        if not sign or not value:
            raise AdminError(f"--where {each}: write it as model=gpt-4o.")
        found.setdefault(dimension, []).append(value)
    return dict(found)


def _column(column: dict[str, Any], rows: list[dict[str, Any]]) -> Column:
    name, kind = column["name"], column["kind"]
    title = name.replace("_", "\n")
    if kind == "usd":
        return Column(f"{title} $", name, money=True)
    if kind == "text":
        return Column(title, lambda row: row[name] or "-", whole=name in ("key", "request"))
    if kind == "time":
        days = all((row[name] or "").endswith("T00:00:00Z") for row in rows)
        return Column(title, lambda row: _moment(row[name], days=days), whole=True)
    suffix = {"milliseconds": " ms", "ratio": " %"}.get(kind, "")
    return Column(title + suffix, lambda row: _number(row[name], kind), number=True)


def _moment(value: str | None, *, days: bool) -> str:
    return (value or "")[: 10 if days else 19].replace("T", " ")


def _number(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind == "ratio":
        return f"{value * 100:.2f}"
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def _asked_by(question: Row) -> str:
    return ", ".join(question["dimensions"])


QUESTIONS = (
    Column("question", "id", whole=True),
    Column("answers", "says"),
    Column("by", _asked_by),
    Column("steps", lambda question: ", ".join(STEPS) if question["takes_step"] else ""),
)
