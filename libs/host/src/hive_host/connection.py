"""One client's connection: reads requests, runs them in their order, refuses what must not run.

uvicorn gives the parser and the flow control. What is added here: bounds on heads, bodies and waits,
refusals in the promised form, answers in the order of their requests, a close that lets the client read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import httptools
import structlog
from uvicorn import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hive_host.cycle import Cycle
from hive_host.head import Head
from hive_host.protocol import (
    BODY,
    HEAD,
    IDLE,
    LINGER,
    NOTHING,
    REST,
    Reading,
    Refusal,
    Shared,
    invalid,
    too_late,
)
from hive_host.websocket import WebSocket, subprotocols
from hive_relay.asgi import Scope
from hive_runtime.errors import Kind

log = structlog.get_logger(__name__)


class Connection(HttpToolsProtocol):
    """Reads requests, runs them one after the other, refuses what it must not run.

    A refusal waits for the answers before it; nothing is read behind it (`deaf`). Time is counted by
    `sweep`: a process that was busy for a while does not blame its clients for it.
    """

    def __init__(self, config: Config, shared: Shared) -> None:
        super().__init__(config, shared, {}, asyncio.get_running_loop())
        self.shared = shared
        self.limits = shared.limits
        self.parser = httptools.HttpRequestParser(self)
        self.reading: Reading = IDLE
        self.head = Head(self.limits)
        self.newest: Cycle | None = None
        self.running: Cycle | None = None
        self.queue: deque[Cycle | Refusal] = deque()
        self.deaf = False
        self.upgrading = False
        self.barren = False
        self.barren_bytes = 0
        self.discarded_bytes = 0
        self.waited = 0.0
        self.body_seconds = 0.0
        self.unsent_bytes = 0
        self.stalled = 0.0

    # The transport's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=self.limits.write_buffer_bytes)
        self.shared.empty.clear()
        count, most = self.shared.count, self.limits.connections
        if self.shared.draining or count > 2 * most:
            transport.abort()
        elif count > most:
            message = f"This server has {most} connections open and takes no more: try again in a moment."
            self._turn_away(Refusal(Kind.UNAVAILABLE, message, retry_after=1))

    def connection_lost(self, exc: Exception | None) -> None:
        self._forsake()
        self.connections.discard(self)
        self.newest = None
        self.parser = None  # type: ignore[assignment]
        self.shared.note_departure()

    def eof_received(self) -> None:
        self._forsake()

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            self._discard(len(data))
            return
        self.barren, offer_ends = True, None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            offer_ends = upgrade.args[0]
        except httptools.HttpParserError as error:
            self._stop_reading(error)
            return
        if offer_ends is not None:
            self._upgrade(data[offer_ends:])
            return
        if self.barren:
            self._count_barren(len(data))
        else:
            self.barren_bytes = 0
        if self.head.fields:
            self._weigh_head()

    # The parser's calls; what they raise ends the parsing

    def on_message_begin(self) -> None:
        last = self.newest
        if last is not None and not last.keep_alive:
            raise invalid("The connection was to end with the request before this one.")
        self.barren = False
        self.head = Head(self.limits)
        self._await(HEAD)

    def on_url(self, url: bytes) -> None:
        self.head.add_target(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.head.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        head, parser, shared = self.head, self.parser, self.shared
        head.weigh()
        version = parser.get_http_version()
        if parser.should_upgrade():
            sockets = shared.socket_app is not None
            head.check_upgrade(parser.get_method(), version, sockets=sockets)
            self.upgrading = True
            return
        head.check(version)
        if len(self.queue) >= self.limits.pipelined:
            raise invalid(f"More than {self.limits.pipelined} requests wait for their answers.")
        is_new = version == "1.1"
        cycle = self.newest = Cycle(
            self,
            head.scope(parser.get_method().decode("ascii"), version, self.server, self.client),
            keep_alive=is_new and parser.should_keep_alive() and not shared.draining,
            awaits_continue=is_new and head.expects_continue,
        )
        self.body_seconds = 0.0
        self._await(BODY)
        if self.running is None:
            self._run(cycle)
        else:
            self.queue.append(cycle)

    def on_body(self, body: bytes) -> None:
        self.barren = False
        if self.reading is REST:
            self.discarded_bytes += len(body)
            if self.discarded_bytes > self.limits.linger_bytes:
                raise invalid("The request was answered, and its body goes on for too long.")
            return
        self.waited = 0.0
        cycle = self.newest
        assert cycle is not None
        cycle.take(body)
        if cycle.held_bytes > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self.upgrading:
            return
        self.barren = False
        if self.head.fields:
            self.head.weigh()
        cycle = self.newest
        assert cycle is not None
        cycle.end_of_body()
        if self.reading is not REST:
            self.reading = NOTHING
        elif cycle.keep_alive:
            self._await(IDLE)
        else:
            self.transport.close()

    # The listener's calls

    def sweep(self, seconds: float) -> None:
        """So much time went by: end the connection where its client was waited for too long."""
        self._watch_writing(seconds)
        if self.reading is NOTHING or self.flow.read_paused or self.transport.is_closing():
            return
        self.waited += seconds
        if self.reading is BODY:
            self._watch_body(seconds)
        elif self.waited > self.shared.patience[self.reading]:
            self._too_late()

    def shutdown(self) -> None:
        """Finish the running request, take no other."""
        for cycle in (self.running, self.newest):
            if cycle is not None:
                cycle.keep_alive = False
        if self.reading is IDLE:
            self.transport.close()

    def abort(self) -> None:
        """End at once, whatever is under way."""
        self._forsake()
        self.transport.abort()

    # The cycle's calls (`cycle.Wire`)

    def read_on(self, cycle: Cycle) -> None:
        if cycle is self.newest:
            self.flow.resume_reading()

    def answered(self, cycle: Cycle) -> None:
        self.running = None
        if self.transport.is_closing():
            return
        if not cycle.keep_alive:
            self._end(at_once=self.reading is NOTHING and not self.queue and not self.deaf)
        elif self.queue:
            self._begin(self.queue.popleft())
        else:
            self.flow.resume_reading()
            if cycle.more_body:
                self._await(REST)
            elif self.reading is NOTHING:
                self._await(IDLE)

    def hang_up(self) -> None:
        self._forsake()
        self.transport.close()

    # The order of answers, and the end

    def _begin(self, item: Cycle | Refusal) -> None:
        if isinstance(item, Refusal):
            self._turn_away(item)
        else:
            self._run(item)

    def _run(self, cycle: Cycle) -> None:
        self.running = cycle
        shared = self.shared
        shared.answering.spawn(cycle.run(shared.app), "http request")

    def _end(self, at_once: bool) -> None:
        """Close; not at once where bytes may be unread, since the reset could overtake the answer."""
        self.queue.clear()
        if at_once:
            self.transport.close()
            return
        self.deaf = True
        self._await(LINGER)
        self.flow.resume_reading()
        with suppress(OSError):
            self.transport.write_eof()

    def _forsake(self) -> None:
        """The client is gone: the app hears of it and waits for nothing any longer."""
        if self.running is not None:
            self.running.forsake()
        self.running = None
        self.queue.clear()
        self.deaf = True
        self.flow.resume_writing()

    def _upgrade(self, rest: bytes) -> None:
        """rest: what came behind the head that offers to upgrade."""
        if self.head.wants_socket:
            self._open_socket(rest)
        else:
            self._read_without_upgrade(rest)

    def _read_without_upgrade(self, rest: bytes) -> None:
        """An offer to upgrade may be ignored, but llhttp takes the body for the new protocol."""
        parser = self.parser
        head = self.head.without_upgrade(
            parser.get_method(), parser.get_http_version(), parser.should_keep_alive()
        )
        self.upgrading = False
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(head + rest)

    def _open_socket(self, rest: bytes) -> None:
        """Leave the connection to its WebSocket."""
        try:
            if self.running is not None or self.queue:
                raise invalid("A WebSocket cannot begin while requests wait for their answers.")
            socket = WebSocket(self.shared, self.transport, self.head, self._socket_scope())
        except Refusal as refusal:
            self._refuse(refusal)
            return
        self.reading = NOTHING
        self.deaf = True
        self.connections.discard(self)
        socket.begin(rest)

    def _socket_scope(self) -> Scope:
        scope = self.head.scope("GET", "1.1", self.server, self.client)
        scope["type"], scope["scheme"] = "websocket", "ws"
        scope["subprotocols"] = subprotocols(self.head.headers)
        scope["extensions"] = {"websocket.http.response": {}}
        return scope

    # Refusals

    def _stop_reading(self, error: httptools.HttpParserError) -> None:
        last = self.newest
        if last is not None and not last.keep_alive and not last.more_body:
            self.deaf = True  # what follows the last request of a connection is nobody's
        elif isinstance(error.__context__, Refusal):
            self._refuse(error.__context__)
        elif isinstance(error, httptools.HttpParserCallbackError):
            raise error
        else:
            self._refuse(invalid(f"The request is not valid HTTP/1.1: {error}."))

    def _refuse(self, error: Refusal) -> None:
        log.debug("request refused", status=error.status, why=error.message, client=self.client)
        self.deaf = True
        if self.reading is REST or (self.reading is BODY and not self._withdraw()):
            self.hang_up()
        elif self.running is None:
            self._turn_away(error)
        else:
            self.reading = NOTHING
            self.queue.append(error)

    def _withdraw(self) -> bool:
        """Take the request back whose body is bad; false where its answer has begun."""
        cycle = self.newest
        assert cycle is not None
        cycle.forsake()
        if cycle is self.running:
            self.running = None
        else:
            self.queue.remove(cycle)
        return not cycle.head_sent

    def _turn_away(self, error: Refusal) -> None:
        self.transport.write(self.shared.last_answer(error))
        self._end(at_once=False)

    # Time

    def _await(self, reading: Reading) -> None:
        self.reading = reading
        self.waited = 0.0
        self.discarded_bytes = 0

    def _too_late(self) -> None:
        if self.reading is HEAD:
            seconds = self.limits.head_seconds
            self._refuse(too_late(f"The head of the request was not complete after {seconds:g} s."))
        else:
            self.transport.close()

    def _watch_body(self, seconds: float) -> None:
        limits, cycle = self.limits, self.newest
        assert cycle is not None
        if cycle.awaits_continue:
            self.waited = 0.0
            return
        self.body_seconds += seconds
        if self.waited > limits.body_idle_seconds:
            self._refuse(too_late(f"No byte of the body came for {limits.body_idle_seconds:g} s."))
        elif self.body_seconds > limits.body_seconds + cycle.received_bytes / limits.body_rate:
            self._refuse(too_late(f"The body was not complete after {self.body_seconds:g} s."))

    def _watch_writing(self, seconds: float) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self.unsent_bytes:
            self.unsent_bytes = unsent
            self.stalled = 0.0
            return
        self.stalled += seconds
        if self.stalled > self.limits.write_idle_seconds:
            self.abort()

    # Bytes that bring nothing

    def _weigh_head(self) -> None:
        if self.deaf:
            return
        try:
            self.head.weigh()
        except Refusal as refusal:
            self._refuse(refusal)

    def _count_barren(self, count: int) -> None:
        """Bound what the parser swallows unseen: half a header, chunk extensions, blank lines."""
        self.barren_bytes += count
        if self.barren_bytes > self.limits.head_bytes:
            self._refuse(self.head.too_large())

    def _discard(self, count: int) -> None:
        self.discarded_bytes += count
        if self.discarded_bytes > self.limits.linger_bytes:
            self.hang_up()
