"""A provider's realtime endpoint: a WebSocket server of its own, in a thread, that holds conversations."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from hive_testing.simulator.realtime.conversation import Conversation
from hive_testing.simulator.realtime.script import Heard, Line, Turn

PATH = "/realtime"
"""How the path ends at which sessions are opened."""
SECONDS = 10.0


class RealtimeSimulator:
    """`with RealtimeSimulator() as sim:`; everything may be called from any thread.

    heard: the sessions so far. bill: a line for each response that generated anything.
    """

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.bill: list[Line] = []
        self._turns: deque[Turn] = deque()
        self._key: str | None = None
        self._refusal: tuple[int, bytes] | None = None
        self._changed = threading.Condition()
        self._server: Server
        self._thread: threading.Thread

    def __enter__(self) -> Self:
        self._server = serve(
            self._hold, "127.0.0.1", 0, process_request=self._let_in, compression=None, max_size=None
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(SECONDS)

    @property
    def url(self) -> str:
        """The base address for clients, with `/v1`."""
        return f"http://127.0.0.1:{self._server.socket.getsockname()[1]}/v1"

    def script(self, *turns: Turn) -> None:
        """How the next responses go, whichever session they are of."""
        self._turns.extend(turns)

    def require_key(self, key: str | None) -> None:
        self._key = key

    def refuse(self, status: int | None, body: bytes = b"") -> None:
        """Answer handshakes with this status; None: let them in."""
        self._refusal = None if status is None else (status, body)

    def reset(self) -> None:
        """Forget what was heard, billed and scripted."""
        self.heard, self.bill, self._key, self._refusal = [], [], None, None
        self._turns.clear()

    def wait_for_close(self, session: int = 0) -> int:
        """The code with which a client left; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed(session) is not None, SECONDS):
                raise TimeoutError(f"session {session} was not closed")
        closed = self._closed(session)
        assert closed is not None
        return closed

    def _closed(self, session: int) -> int | None:
        return self.heard[session].closed if session < len(self.heard) else None

    def _next_turn(self) -> Turn:
        return self._turns.popleft() if self._turns else Turn()

    def _let_in(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._refusal is not None:
            status, body = self._refusal
            return connection.respond(status, body.decode())
        if not request.path.partition("?")[0].endswith(PATH):
            return connection.respond(404, "Unknown request URL.")
        if self._key is not None and request.headers.get("Authorization") != f"Bearer {self._key}":
            return connection.respond(401, '{"error":{"message":"Incorrect API key provided."}}')
        return None

    def _hold(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        heard = Heard(request.path, headers, headers.get("sec-websocket-protocol", ""))
        self.heard.append(heard)
        talk = Conversation(connection, heard, self._next_turn, self.bill)
        try:
            with suppress(ConnectionClosed):
                talk.run()
        finally:
            with self._changed:
                heard.closed = connection.protocol.close_code or 1006
                self._changed.notify_all()
