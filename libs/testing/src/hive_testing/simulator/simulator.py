"""The simulator itself: a listening socket, the calls it got, its bill and its script."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from types import TracebackType

import msgspec

from hive_testing.simulator import (
    chat,
    completions,
    control,
    embeddings,
    errors,
    faults,
    models,
)
from hive_testing.simulator.answer import Answer, plain
from hive_testing.simulator.behaviour import Behaviour, Script
from hive_testing.simulator.bill import Bill, BillLine, Meter
from hive_testing.simulator.calls import Call
from hive_testing.simulator.connection import Connection
from hive_testing.simulator.reply import Endpoint, InvalidRequest

log = logging.getLogger(__name__)

KEEP = 10_000
CLOSE_TIMEOUT = 5.0

ENDPOINTS: dict[str, Endpoint] = {
    "/v1/chat/completions": chat.ENDPOINT,
    "/v1/completions": completions.ENDPOINT,
    "/v1/embeddings": embeddings.ENDPOINT,
}


class Simulator:
    """A provider on the running event loop: `async with Simulator() as sim:`.

    It answers from the request alone, records every call, and bills what it generates. The newest `keep`
    calls and lines of the bill are remembered.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        keep: int = KEEP,
        listed: Sequence[str] = models.LISTED,
    ) -> None:
        """`port` 0 takes any free one; `listed` are the models of GET /v1/models."""
        self._host = host
        self._port = port
        self._keep = keep
        self._listed = listed
        self._connections: set[Connection] = set()
        self._script = Script()
        self._arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._key: str | None = None
        self.reset()

    async def __aenter__(self) -> Simulator:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(loop, self._receive, self._connections), self._host, self._port, backlog=1024
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        async with asyncio.timeout(CLOSE_TIMEOUT):
            while self._connections:
                for connection in list(self._connections):
                    connection.abort()
                await asyncio.sleep(0)
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The base address for clients, with `/v1`."""
        return f"{self.control_url}/v1"

    @property
    def control_url(self) -> str:
        """The address below which `/_sim/…` is."""
        return f"http://{self._host}:{self._port}"

    @property
    def calls(self) -> list[Call]:
        """What arrived below /v1, oldest first."""
        return list(self._calls)

    @property
    def total(self) -> int:
        """How many calls arrived since the start or the last reset."""
        return self._total

    @property
    def bill(self) -> list[BillLine]:
        """A line per call that generated anything; lines change while their answers are generated."""
        return list(self._bill.lines)

    @property
    def bill_totals(self) -> dict[str, int]:
        """`calls`, `prompt_tokens` and `completion_tokens` of every line since the last reset."""
        return self._bill.totals()

    def script(
        self,
        behaviour: Behaviour | None = None,
        *,
        model: str | None = None,
        once: bool = False,
        **fields: object,
    ) -> None:
        """Set a behaviour, or the one with these fields, for a model or for all.

        `once` queues it for the next call only. Raises `msgspec.ValidationError` for wrong fields.
        """
        if behaviour and fields:
            raise TypeError("script takes a behaviour or its fields, not both")
        self._script.add(behaviour or msgspec.convert(fields, Behaviour), model, once)

    def require_key(self, key: str | None) -> None:
        """Answer 401 to calls without this API key; None lets every call in."""
        self._key = key

    def reset(self) -> None:
        """Forget calls, bill, script and required key; answers under way go on unseen."""
        self._total = 0
        self._calls: deque[Call] = deque(maxlen=self._keep)
        self._bill = Bill(self._keep)
        self._key = None
        self._script.clear()

    async def wait_for_calls(self, count: int, timeout: float = 5.0) -> list[Call]:
        """Wait until `count` calls arrived since the last reset; raises `TimeoutError`."""
        try:
            async with asyncio.timeout(timeout):
                while self._total < count:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise TimeoutError(f"{self._total} of {count} calls arrived within {timeout} s") from None
        return self.calls

    def _receive(self, call: Call) -> Answer:
        if call.path.startswith(control.PREFIX):
            return control.answer(self, call)
        self._record(call)
        try:
            return self._answer(call)
        except msgspec.DecodeError as error:
            return _refusal(call, 400, f"The body does not fit {call.path}: {error}")
        except InvalidRequest as error:
            return _refusal(call, 400, str(error), error.param)
        except Exception as error:
            log.exception("no answer to %s", call)
            return _refusal(call, 500, f"The simulator failed: {error!r}")

    def _record(self, call: Call) -> None:
        self._total += 1
        call.number = self._total
        self._calls.append(call)
        self._arrived.set()

    def _answer(self, call: Call) -> Answer:
        if self._key is not None and call.header(b"authorization") != f"Bearer {self._key}":
            return _refusal(call, 401, f"Incorrect API key provided: {call.header(b'authorization')!r}.")
        endpoint = ENDPOINTS.get(call.path)
        if endpoint is None and (call.path == models.PATH or call.path.startswith(f"{models.PATH}/")):
            return models.answer(call, self._listed) if call.method == "GET" else _wrong_method(call)
        if endpoint is None:
            return _refusal(call, 404, f"Unknown request URL: {call.method} {call.path}.")
        return self._generate(call, endpoint) if call.method == "POST" else _wrong_method(call)

    def _generate(self, call: Call, endpoint: Endpoint) -> Answer:
        request = endpoint.decoder.decode(call.body)
        behaviour = self._script.take(request.model)
        reply = endpoint.answer(request, behaviour, call.number)
        line = BillLine(call.header(b"x-client-request-id"), request.model, reply.prompt_tokens)
        meter = Meter(self._bill, line, reply.expected, reply.completion_tokens)
        return faults.answer(reply, behaviour, call, meter)


def _wrong_method(call: Call) -> Answer:
    return _refusal(call, 405, f"{call.path} does not take {call.method}.")


def _refusal(call: Call, status: int, message: str, param: str | None = None) -> Answer:
    body = errors.body(errors.error(status, message, param))
    return plain(status, body, call.number, call.keep_alive)
