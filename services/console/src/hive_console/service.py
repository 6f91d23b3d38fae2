"""Console, wired: entered = its state is told and its API is up, left = nothing is on its way any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydantic import SecretStr
from starlette.types import ASGIApp

from hive_bus.outbox import Outbox, OutboxRelay
from hive_console import admin_token, tables
from hive_console.books import RpcBooks
from hive_console.budgets import Budgets
from hive_console.changes import Changes
from hive_console.configuration import load
from hive_console.control import Source
from hive_console.discovery import OllamaWatch
from hive_console.feed import Feed
from hive_console.found import Declared, built_in, from_environment
from hive_console.guards import Policies
from hive_console.http import PREFIX
from hive_console.keys import Keys
from hive_console.models import Models
from hive_console.providers import Providers
from hive_console.rpc import StateDoor
from hive_console.settings import DEFAULT_FILE, ConsoleSettings
from hive_console.sources import Sources
from hive_console.startup import bring_up
from hive_console.tenants import Tenants
from hive_host import Host, Later
from hive_runtime.sealing import credentials_key
from hive_sql import Waiting, open_database
from modelhive.control.v1.control_pb2 import ControlChanged

log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
TOGETHER_SECONDS = 1.0
"""How often the outbox is looked into where other processes may have died over what they wrote into it."""
ALONE_SECONDS = 60.0
"""The same where this process alone writes: it looks at its start and after each change anyway."""
START_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Console:
    """What the process may tell its operator.

    first_key: the API key that this start made, shown here and never again; None at other starts.
    admin_token_created: this start made the token; it is in the file `admin_token_path`.
    """

    first_key: str | None = field(repr=False)
    admin_token: str = field(repr=False)
    admin_token_created: bool
    admin_token_path: Path


@asynccontextmanager
async def console_service(host: Host, settings: ConsoleSettings) -> AsyncIterator[Console]:
    """Raises ConfigurationError, SealingError, SchemaTooNew."""
    given = await asyncio.to_thread(_given, settings)
    for warning in [*settings.warnings, *(each for one in given.values() for each in one.warnings)]:
        log.warning(warning)
    public_key = (
        await asyncio.to_thread(credentials_key, _text(settings.credentials_key), host.data_dir)
    ).public
    token_path = host.data_dir / "admin-token"
    token, created = await asyncio.to_thread(_admin_token, settings, token_path)

    waiting = Waiting()
    host.health.add("console's database", waiting)
    opening = open_database(
        host.sql_url, MIGRATIONS, durable=True, migrate=host.settings.migrate, waiting=waiting
    )
    async with opening as database:
        outbox = Outbox(tables.outbox, [ControlChanged], host.clock)
        alone = database.writer.dialect.name == "sqlite"
        poll_seconds = ALONE_SECONDS if alone else TOGETHER_SECONDS
        relay = OutboxRelay(outbox, database.writer, host.bus, host.clock, _report, poll_seconds=poll_seconds)
        feed = Feed(lambda: changes.read(), host.clock)
        changes = Changes(database, outbox, relay, host.clock, feed.wake)
        file_name = (settings.config or DEFAULT_FILE).name
        providers = Providers(changes, public_key, file_name)
        sources = Sources(providers)
        first_key = await bring_up(
            changes,
            sources,
            given,
            _text(settings.bootstrap_key),
            has_bootstrap_credit=settings.bootstrap_credit_usd is not None,
        )
        await _tell_all(relay)
        billing, analytics = host.channel("billing"), host.channel("analytics")
        budgets = Budgets(RpcBooks(billing), changes, host.clock)
        tenants, policies = Tenants(changes), Policies(changes)
        keys, models = Keys(changes, budgets), Models(changes, file_name)

        def admin_api() -> ASGIApp:
            from hive_console.http.whole import Resources, whole_app

            others = billing, analytics, host.channel("guardrails"), host.channel("routing")
            resources = Resources(
                tenants, keys, budgets, providers, models, policies, *others, clock=host.clock
            )
            return whole_app(resources, token)

        host.mount("internal", PREFIX, Later(admin_api))
        # Others hear of the changes by asking, so it stays where they find it.
        host.health.note("console's outbox", lambda: _complaint(relay))
        host.serve(StateDoor.attach, StateDoor(feed))
        work = [
            host.tasks.spawn(relay.run(), "console outbox relay"),
            host.tasks.spawn(feed.run(), "console feed"),
            host.tasks.spawn(budgets.run(), "console budgets"),
        ]
        if settings.discover:
            watch = OllamaWatch(settings.ollama_url, changes, sources, host.clock)
            work.append(host.tasks.spawn(watch.run(), "console ollama watch"))
        try:
            async with host.running():
                try:
                    yield Console(first_key, token, created, token_path)
                finally:
                    feed.end()
        finally:
            await _stop(work)
            await _tell_the_rest(relay)


def _given(settings: ConsoleSettings) -> Mapping[Source, Declared]:
    """What each source gives at this start; what Ollama has is known later."""
    nothing = Declared()
    given = {
        Source.FILE: load(settings.file, settings.environment) if settings.file else nothing,
        Source.ENVIRONMENT: from_environment(settings.environment) if settings.discover else nothing,
        Source.BUILTIN: built_in() if settings.local_models else nothing,
    }
    return given if settings.discover else {**given, Source.DISCOVERED: nothing}


def _admin_token(settings: ConsoleSettings, path: Path) -> tuple[str, bool]:
    text = _text(settings.admin_token)
    return (text, False) if text else admin_token.load_or_create(path)


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _complaint(relay: OutboxRelay) -> str | None:
    return f"control records wait: {type(relay.failure).__name__}" if relay.failure else None


def _report(name: str, error: BaseException) -> None:
    log.warning("control records wait for the bus", task=name, error=repr(error))


async def _tell_all(relay: OutboxRelay) -> None:
    """What the bus does not take now goes out later; until then the others ask."""
    try:
        async with asyncio.timeout(START_SECONDS):
            await relay.flush()
    except Exception as error:
        _report("console outbox relay", error)


async def _stop(work: Iterable[asyncio.Task[None]]) -> None:
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


async def _tell_the_rest(relay: OutboxRelay) -> None:
    """What the bus does not take now stays in the table for the next start."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await relay.flush()
    except Exception as error:
        _report("console outbox relay", error)
