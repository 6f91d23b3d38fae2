"""PostgreSQL: a schema per service in one database, a bound on every wait, and its absence in words for callers.

`postgresql+asyncpg://user:password@host/database?schema=billing` names the schema; without, it is the server's own
choice (`public`). Whatever else the query holds is the driver's (`ssl=require`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import DataError, DBAPIError

from hive_runtime.errors import HiveError, Kind
from hive_sql.asynchronous import AsyncEngine, create_async_engine

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 30.0
IDLE_SECONDS = 5.0
"""How long a transaction may lie still. A process that is stopped in one holds up nobody for longer."""
LOCK_SECONDS = 60.0
"""How long migrations wait for those of another process, and for tables that are in use."""
LIFETIME_SECONDS = 1800

_SCHEMA = "schema"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Connections, rights, resources, an operator's interruptions, the machine. https://www.postgresql.org/docs/current/errcodes-appendix.html
_AWAY_CLASSES = ("08", "28", "53", "57", "58")
# Locks and conflicts that are over at the next try, a transaction that lay still, a server that is only a copy.
_AWAY = frozenset({"25006", "25P03", "40001", "40P01", "55P03", "3D000"})
_CONFUSED = "InternalClientError"
"""The driver's, where a connection breaks off in the middle of its work."""


def is_postgres(url: str) -> bool:
    return make_url(url).get_backend_name() == "postgresql"


def schema_of(url: str) -> str | None:
    """The schema that the URL names. ValueError where it is no plain name."""
    found = make_url(url).query.get(_SCHEMA)
    if found is None:
        return None
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise ValueError(f"{found!r} is no name of a schema: small letters, digits and _ make one")
    return found


def postgres_engine(
    url: str,
    *,
    connections: int,
    busy_seconds: float,
    isolation: str = "READ COMMITTED",
    statement_seconds: float = STATEMENT_SECONDS,
) -> AsyncEngine:
    """An engine whose every wait has a bound, and that finds a server again which was away.

    connections: at most so many. statement_seconds: 0 is no bound. What the server's absence makes impossible is a
    HiveError `unavailable`, for what runs on a connection; to connect raises what `refusal` knows.
    """
    settings = {
        "application_name": f"modelhive {schema_of(url) or ''}".strip(),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE_SECONDS if statement_seconds else 0),
        "jit": "off",  # statements are small: to compile one takes longer than to run it
        "statement_timeout": _milliseconds(statement_seconds),
    }
    if schema := schema_of(url):
        settings["search_path"] = schema
    engine = create_async_engine(
        _drivers(url),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_seconds,
        pool_pre_ping=True,
        pool_recycle=LIFETIME_SECONDS,
        isolation_level=isolation,
        connect_args={
            "timeout": CONNECT_SECONDS,
            # The server's own bound comes first where the server is alive.
            "command_timeout": statement_seconds + 1 if statement_seconds else None,
            "server_settings": settings,
        },
        hide_parameters=True,  # errors are logged, and rows hold what logs must not
    )
    event.listen(engine.sync_engine, "handle_error", _in_words)
    return engine


def refusal(error: BaseException) -> HiveError | None:
    """What callers are told where the error says that the server is away, or busy; None for any other error."""
    for each in _chain(error):
        if isinstance(each, HiveError):
            return each
        if isinstance(each, OSError | TimeoutError) or _is_away(each):
            message = "The database is not available just now. Try again in a moment."
            return HiveError(Kind.UNAVAILABLE, message, retry_after=1)
    return None


def is_of_data(error: BaseException) -> bool:
    """Whether the database, of either kind, will never take these values, however often it is asked."""
    return any(
        isinstance(each, DataError | OverflowError) or _state(each).startswith("22") for each in _chain(error)
    )


def prepare_migration(connection: Connection, schema: str | None) -> None:
    """In the transaction of a migration: one at a time for each schema, which is made where it is missing."""
    name = schema or "public"
    connection.execute(text(f"SET LOCAL lock_timeout = '{_milliseconds(LOCK_SECONDS)}ms'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("migration", name)})
    known = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
    if schema and connection.execute(known, {"name": schema}).first() is None:
        connection.execute(text(f'CREATE SCHEMA "{schema}"'))


def lock_key(*names: str) -> int:
    """The number of an advisory lock: of this database, the same in every release."""
    return int.from_bytes(sha256("/".join(names).encode()).digest()[:8], "big", signed=True)


def _in_words(context: ExceptionContext) -> BaseException | None:
    original = context.original_exception
    if context.is_pre_ping or not isinstance(original, Exception):
        return None  # the pool connects anew; or it was cancelled, and whoever cancels knows
    if isinstance(original, OSError | TimeoutError) or type(original).__name__ == _CONFUSED:
        context.is_disconnect = True  # nobody knows what the connection would say next
    return refusal(ConnectionError() if context.is_disconnect else original)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made from, the driver's own error among them."""
    seen: set[int] = set()
    ahead: list[BaseException | None] = [error]
    while ahead:
        each = ahead.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            ahead += [each.__cause__, each.orig if isinstance(each, DBAPIError) else None]


def _is_away(error: BaseException) -> bool:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = _state(error)
    return state in _AWAY or state.startswith(_AWAY_CLASSES)


def _state(error: BaseException) -> str:
    """The server's code of the error; empty where it is none of the server's."""
    state: Any = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else ""


def _drivers(url: str) -> URL:
    return make_url(url).difference_update_query([_SCHEMA])


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
