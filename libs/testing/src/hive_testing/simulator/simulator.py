"""The simulator itself: a listening socket, the calls it got, its bill and its script."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from types import TracebackType

import msgspec

from hive_testing.simulator import control, faults, models, routes
from hive_testing.simulator.answer import Answer, plain
from hive_testing.simulator.behaviour import Behaviour, Script
from hive_testing.simulator.bill import Bill, BillLine, Meter
from hive_testing.simulator.calls import Call
from hive_testing.simulator.connection import Connection
from hive_testing.simulator.dialect import OPENAI, Dialect
from hive_testing.simulator.reply import InvalidRequest
from hive_testing.simulator.routes import Route

log = logging.getLogger(__name__)

KEEP = 10_000
CLOSE_TIMEOUT = 5.0


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
        strict: bool = False,
    ) -> None:
        """`port` 0 takes any free one; `listed` are the models of GET /v1/models; `strict` as `be_strict`."""
        self._host = host
        self._port = port
        self._keep = keep
        self._listed = listed
        self._strict_at_first = strict
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
        """The address below which everything is: every dialect's paths, and `/_sim/…`."""
        return f"http://{self._host}:{self._port}"

    @property
    def calls(self) -> list[Call]:
        """What arrived but at `/_sim/`, oldest first."""
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
        """Refuse calls without this API key, as each dialect shows it; None lets every call in.

        For Amazon it is `access key:secret`, by which the request has to be signed.
        """
        self._key = key

    def be_strict(self, strict: bool = True) -> None:
        """Refuse what OpenAI refuses, by its SDK's types, in its chat and embeddings too; it makes them slower.

        The other dialects are always strict.
        """
        self._strict = strict

    def reset(self) -> None:
        """Forget calls, bill, script, required key and strictness; answers under way go on unseen."""
        self._total = 0
        self._calls: deque[Call] = deque(maxlen=self._keep)
        self._bill = Bill(self._keep)
        self._key = None
        self._strict = self._strict_at_first
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
        route = routes.FIXED.get(call.path) or routes.find(call)
        try:
            if self._key is not None:
                _dialect(route).check_key(call, self._key)
            if route and call.method == "POST":
                return self._generate(call, route)
            return self._listing(call, route)
        except msgspec.DecodeError as error:
            refusal = InvalidRequest(f"The body does not fit {call.path}: {error}")
        except InvalidRequest as error:
            refusal = error
        except Exception as error:
            log.exception("no answer to %s", call)
            refusal = InvalidRequest(f"The simulator failed: {error!r}", status=500)
        return _refused(call, _dialect(route), refusal)

    def _record(self, call: Call) -> None:
        self._total += 1
        call.number = self._total
        self._calls.append(call)
        self._arrived.set()

    def _listing(self, call: Call, route: Route | None) -> Answer:
        """What is no POST to an endpoint."""
        is_listing = call.path == models.PATH or call.path.startswith(f"{models.PATH}/")
        if route or (is_listing and call.method != "GET"):
            raise InvalidRequest(f"{call.path} does not take {call.method}.", status=405)
        if is_listing:
            return models.answer(call, self._listed)
        raise InvalidRequest(f"Unknown request URL: {call.method} {call.path}.", status=404)

    def _generate(self, call: Call, route: Route) -> Answer:
        endpoint = route.endpoint
        request = endpoint.read(call, route.names)
        behaviour = self._script.take(request.model)
        if endpoint.check and (self._strict or behaviour.strict):
            endpoint.check(call)
        reply = endpoint.answer(request, behaviour, call.number)
        line = BillLine(call.header(b"x-client-request-id"), request.model, reply.prompt_tokens)
        if reply.search_units:
            line.search_units = reply.search_units
        meter = Meter(self._bill, line, reply.expected or 0, reply.completion_tokens)
        return faults.answer(reply, behaviour, call, meter, endpoint.dialect)


def _dialect(route: Route | None) -> Dialect:
    return route.endpoint.dialect if route else OPENAI


def _refused(call: Call, dialect: Dialect, refusal: InvalidRequest) -> Answer:
    error = dialect.error(refusal.status, str(refusal), refusal.param, refusal.code)
    headers = dialect.headers(refusal.status, call.number)
    body = dialect.error_body(error, call.number)
    return plain(refusal.status, body, call.number, call.keep_alive, headers)
