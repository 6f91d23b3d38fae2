"""The engine: statements in, bytes out; each on a handle of its own, or on that of its session."""

from __future__ import annotations

import json
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import chdb

from hive_testing.servers.clickhouse_front.statement import Insert, insert_with_data, is_answered

FORMAT = "TabSeparated"
MAX_SESSIONS = 100
SESSION_IS_LOCKED = 373
CODE = re.compile(r"Code: (\d+)\.")


class Refused(Exception):
    """What the engine says of a statement. code: ClickHouse's own; 0 where it gives none."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Question:
    """One statement, with the rows of an insert behind it. format: of the answer where the statement names none."""

    text: bytes
    format: str = FORMAT
    database: str = ""
    session: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    is_read_only: bool = False


@dataclass(frozen=True)
class Outcome:
    """format: of the data; None where the statement gives none by its nature."""

    data: bytes
    format: str | None
    read_rows: int
    written_rows: int


class Session:
    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.turn = threading.Lock()


class Engine:
    """One folder, one process."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._turn = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def __enter__(self) -> Self:
        # An engine that finds no database in its folder (26.5) starts no thread that drops tables: `DROP … SYNC` would
        # never end there.
        first = self._open()
        first.query("CREATE DATABASE IF NOT EXISTS first ENGINE = Atomic", FORMAT)
        first.query("DROP DATABASE first", FORMAT)
        first.close()
        self._keeper = self._open()  # the engine lives as long as one of its handles
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            session.handle.close()
        self._keeper.close()

    def answer(self, question: Question) -> Outcome:
        """Raises Refused."""
        with self._handle_for(question) as handle:
            try:
                with self._as_asked(handle, question):
                    insert = insert_with_data(question.text)
                    return self._insert(handle, insert) if insert else self._ask(handle, question)
            except RuntimeError as error:
                raise refused(str(error)) from None

    @contextmanager
    def _as_asked(self, handle: Any, question: Question) -> Iterator[None]:
        """In the database and with the settings of this question; a session is left as it was."""
        settings = {name: quoted(value) for name, value in question.settings.items() if name.isidentifier()}
        before: list[str] = []
        if question.session:
            before = self._remembered(handle, settings) if settings or question.database else []
        elif question.is_read_only:
            settings["readonly"] = "2"  # the last one, for afterwards none can be set
        if question.database:
            handle.query(f"USE {quoted(question.database, '`')}", FORMAT)
        try:
            if settings:
                handle.query(set_all(settings), FORMAT)
            yield
        finally:
            for statement in before:
                handle.query(statement, FORMAT)

    def _remembered(self, handle: Any, names: Iterable[str]) -> list[str]:
        """Statements that bring back what is there now."""
        here = handle.query("SELECT currentDatabase()", FORMAT).bytes().decode().strip()
        asked = ", ".join(map(quoted, names)) or "''"
        rows = handle.query(f"SELECT * FROM system.settings WHERE name IN ({asked})", "JSONEachRow").bytes()
        found = [json.loads(row) for row in rows.splitlines()]
        old = {each["name"]: quoted(each["value"]) if each["changed"] else "DEFAULT" for each in found}
        return [f"USE {quoted(here, '`')}", *([set_all(old)] if old else [])]

    def _ask(self, handle: Any, question: Question) -> Outcome:
        # Bytes that are no text can only be in the rows of an insert, which go another way.
        statement = question.text.decode(errors="surrogateescape")
        result = handle.query(statement, question.format, params=dict(question.parameters))
        named = is_answered(statement, question.format)
        return Outcome(result.bytes() or b"", named, result.rows_read(), 0)

    def _insert(self, handle: Any, insert: Insert) -> Outcome:
        """The engine takes the rows from a file."""
        with tempfile.NamedTemporaryFile(prefix="insert-") as file:
            file.write(insert.rows)
            file.flush()
            statement = (
                f"{insert.target} FROM INFILE {quoted(file.name)} {insert.settings} FORMAT {insert.format}"
            )
            result = handle.query(statement, FORMAT)
        return Outcome(b"", None, result.rows_read(), result.rows_read())

    @contextmanager
    def _handle_for(self, question: Question) -> Iterator[Any]:
        if not question.session:
            handle = self._open()
            try:
                yield handle
            finally:
                handle.close()
            return
        session = self._session(question.session)
        if not session.turn.acquire(blocking=False):
            text = f"Code: {SESSION_IS_LOCKED}. DB::Exception: Session {question.session} is locked by a concurrent"
            raise Refused(SESSION_IS_LOCKED, f"{text} client. (SESSION_IS_LOCKED)")
        try:
            yield session.handle
        finally:
            session.turn.release()

    def _session(self, name: str) -> Session:
        """Those that were not used for longest end first; a temporary table goes with its session."""
        with self._turn:
            if name not in self._sessions:
                self._sessions[name] = Session(self._open())
            self._sessions.move_to_end(name)
            if len(self._sessions) > MAX_SESSIONS:
                oldest = next((name for name, each in self._sessions.items() if not each.turn.locked()), None)
                if oldest is not None:
                    self._sessions.pop(oldest).handle.close()
            return self._sessions[name]

    def _open(self) -> Any:
        return chdb.connect(self._folder)


def refused(words: str) -> Refused:
    start = max(words.find("Code: "), 0)
    found = CODE.match(words, start)
    return Refused(int(found[1]) if found else 0, words[start:].strip())


def set_all(values: Mapping[str, str]) -> str:
    return "SET " + ", ".join(f"{name} = {value}" for name, value in values.items())


def quoted(text: str, mark: str = "'") -> str:
    return mark + text.replace("\\", "\\\\").replace(mark, f"\\{mark}") + mark
