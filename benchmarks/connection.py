"""One keep-alive connection of the load generator: sends a request, reads its answer, is free again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import cast

import httptools

from benchmarks.exchange import Exchange


class Connection(asyncio.Protocol):
    """`ended` is called once per exchange; `lost` once, when the connection is gone."""

    def __init__(
        self, ended: Callable[[Connection, Exchange], None], lost: Callable[[Connection], None]
    ) -> None:
        self._ended = ended
        self._lost = lost
        self._exchange: Exchange | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport

    def send(self, request: bytes, exchange: Exchange) -> None:
        """Start an exchange, or its next turn; the one before must have ended."""
        self._exchange = exchange
        exchange.sent = exchange.sent or perf_counter()
        self._transport.write(request)

    def abort(self) -> None:
        """Give up: what is not answered yet has failed."""
        self._fail("no answer in time")
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost(self)
        self._fail(f"the connection broke: {error or 'closed by the server'}")

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the answer is not HTTP: {error}")
            self._transport.abort()

    # What httptools calls while it reads an answer:

    def on_body(self, body: bytes) -> None:
        if self._exchange:
            self._exchange.received(body, perf_counter())

    def on_message_complete(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            self._transport.abort()
            return
        exchange.end(self._parser.get_status_code(), perf_counter())
        self._ended(self, exchange)

    def _fail(self, fault: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail(fault, perf_counter())
            self._ended(self, exchange)
