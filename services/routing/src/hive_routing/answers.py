"""What a deployment answered, ready for the client: a whole JSON body, or a stream that has content.

Both are opened within an attempt, so whatever is wrong with them before the client got content can still be
answered by another deployment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from typing import Any, Protocol

import msgspec

from hive_relay.asgi import Sent
from hive_routing.dialects.form import Answer
from hive_routing.endpoints import RERANK
from hive_routing.estimates import answer_countable
from hive_routing.forwarding import ForwardedStream
from hive_routing.providers.failures import MAX_ERROR_BYTES, Words, broken_answer, failure
from hive_routing.providers.port import Body, PassOn, ProviderAnswer
from hive_routing.request import Request
from hive_routing.reranking import shaped
from hive_routing.stream import StreamRelay
from hive_routing.tokens import Countable
from hive_routing.translation import TranslatedBody, Work
from hive_routing.usage import Figures, Usage
from hive_routing.watching import UNREADABLE, WatchedStream
from hive_runtime.errors import HiveError
from hive_runtime.tracing import Span

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MAX_NAME_CHARS = 200
"""Of a model's name and of a finish reason, as traces tell them."""
MAX_BODY_BYTES = 128 * 1024 * 1024
DRAIN_SECONDS = 0.25
LAST_EVENTS_SECONDS = 5.0
"""How long usage and `[DONE]` are waited for, once every choice has its finish_reason."""

_ENDS = (StopAsyncIteration, HiveError, TimeoutError)
"""How the body of a stream ends."""

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class _Peek(msgspec.Struct):
    usage: Figures | None = None
    error: Any = None


class _Whatever(msgspec.Struct):
    """The same, with a usage that is no usage."""

    error: Any = None


class _Output(msgspec.Struct):
    """What is counted where an answer holds no usage."""

    choices: list[dict[str, Any]] = []


class _Finished(msgspec.Struct):
    finish_reason: str | None = None


class _Described(msgspec.Struct):
    """What is told of an answer beside its usage."""

    model: str = ""
    choices: list[_Finished] = []


_peek = msgspec.json.Decoder(_Peek).decode
_peek_at_whatever = msgspec.json.Decoder(_Whatever).decode


class Progress(Protocol):
    """Hears how far a stream has come."""

    def note(self, tokens: int) -> bool:
        """So many tokens came so far; true where that is more than there is money for."""
        ...

    async def extend(self, tokens: int) -> bool:
        """Find money for more than so many tokens; false where there is none."""
        ...


class Gates(Protocol):
    """What a stream passes before it leaves; raises HiveError where it must not go on.

    waits: it takes `feed` to pass; where it does not, `let_through` is enough. alters: what leaves need not be what
    came, nor leave at once; where it is not so, `keep` is all that wants to hear of it.
    """

    @property
    def waits(self) -> bool: ...

    @property
    def alters(self) -> bool: ...

    @property
    def keep(self) -> Callable[[bytes], None] | None: ...

    async def feed(self, data: bytes) -> bytes:
        """What may leave now."""
        ...

    def let_through(self, data: bytes) -> bytes:
        """What may leave now."""
        ...

    async def end(self) -> bytes:
        """The rest of it."""
        ...


class PlainAnswer:
    """A JSON body in the client's dialect, forwarded byte for byte where the provider speaks it too.

    stated: the usage that the provider said. answer: the same in the form between dialects, where it was read so.
    """

    def __init__(
        self, body: bytes, stated: Usage | None, headers: Headers, answer: Answer | None = None
    ) -> None:
        self.stated = stated
        self.begun: Usage | None = None
        self.body = body
        self.headers = headers
        self._answer = answer

    @classmethod
    async def open(
        cls, answer: ProviderAnswer, request: Request, work: Work, provider: str, headers: Headers
    ) -> PlainAnswer:
        """Reads it all; raises HiveError `upstream_failed` where it is no JSON object or an error."""
        kind = answer.headers.get("content-type", "application/json").lower()
        if "json" not in kind:
            raise broken_answer(provider, f"answered with content type `{kind[:80]}`")
        body = answer.whole
        if body is None:
            body = await _read(answer.body, provider)
        try:
            figures, wrong = _peeked(body)
        except UNREADABLE:
            raise broken_answer(provider, "answered with something that is not a JSON object") from None
        if wrong:
            raise broken_answer(provider, f"answered with an error: {Words.of(wrong).message}")
        endpoint = request.endpoint
        if work.translation is None and endpoint.fields and endpoint is not RERANK:
            return cls(body, None if figures is None else Usage.of(figures), headers)
        try:
            if endpoint is RERANK:
                body, usage = shaped(body, request.values, request.model)
                return cls(body, usage, headers)
            if work.translation is not None:
                body, form = work.translation.answer(body)
            else:
                assert endpoint.dialect is not None, "what has no fields is a conversation"
                form = endpoint.dialect.read_answer(body)
        except UNREADABLE:
            raise broken_answer(provider, "answered with something that is no answer") from None
        return cls(body, form.usage, headers, form)

    def describe(self, span: Span) -> None:
        """Tell which model answered, and why it ended."""
        if self._answer is not None:
            _describe(span, self._answer.model, [each.stop.value for each in self._answer.choices])
            return
        try:
            found = msgspec.json.decode(self.body, type=_Described)
        except msgspec.DecodeError:
            return
        _describe(span, found.model, [each.finish_reason for each in found.choices])

    def output(self) -> Countable:
        """What was generated, for counting."""
        if self._answer is not None:
            return answer_countable(self._answer)
        counted = Countable()
        try:
            choices = msgspec.json.decode(self.body, type=_Output).choices
        except msgspec.DecodeError:
            return counted
        for choice in choices:
            message = choice.get("message") or {}
            counted.add([choice.get("text"), message.get("content")])
            counted.add_calls(message.get("tool_calls"))
        return counted


class StreamAnswer:
    """A stream from its first content on; `close` it."""

    def __init__(self, body: Body, relay: ForwardedStream, headers: Headers) -> None:
        self.headers = headers
        self.stopped = False
        """What broke it off was on our side: the provider did nothing wrong."""
        self._body = body
        self._relay = relay
        self._ready = b""
        self._pass_on: PassOn = getattr(body, "pass_on", None) or partial(_pull, body)

    @classmethod
    async def open(
        cls, answer: ProviderAnswer, request: Request, work: Work, provider: str, headers: Headers
    ) -> StreamAnswer:
        """Reads up to the first content; raises HiveError where the stream fails before it."""
        kind = answer.headers.get("content-type", "").lower()
        if not kind.startswith("text/event-stream"):
            raise broken_answer(provider, f"answered with content type `{kind[:80]}` instead of a stream")
        body = answer.body if work.translation is None else work.translation.stream(answer.body, provider)
        stream = cls(body, _relay(request, provider), headers)
        relay = stream._relay
        while not stream._ready and not relay.done:
            stream._ready = await stream._read()
            if relay.failure is not None:
                raise relay.failure
        return stream

    @property
    def stated(self) -> Usage | None:
        """The usage that the provider said."""
        return self._body.usage if isinstance(self._body, TranslatedBody) else self._relay.stated

    @property
    def begun(self) -> Usage | None:
        """What the provider said of the prompt when it began, in dialects where it does."""
        return self._body.begun if isinstance(self._body, TranslatedBody) else self._relay.begun

    @property
    def delivered(self) -> int:
        """About how many tokens came so far."""
        return self._relay.delivered

    def describe(self, span: Span) -> None:
        """Tell which model answered, and why it ended as far as it has."""
        _describe(span, self._relay.model, self._relay.finish_reasons)

    def output(self) -> Countable:
        """What was generated so far, for counting."""
        return self._relay.output()

    async def relay(
        self, send: Send, progress: Progress, more_headers: Headers, gates: Gates | None = None
    ) -> bool:
        """Forward all but the last events; raises HiveError where the stream fails in between.

        False: the budget ended before the answer did. It was cut there, and the provider should be stopped.
        """
        await (started := start_stream(send, [*self.headers, *more_headers]))
        relay, ready, note = self._relay, self._ready, progress.note
        note(relay.delivered)
        complete = True
        keep = None if gates is None else gates.keep
        write = started.write if isinstance(started, Sent) else None
        if gates is not None and gates.alters:
            write = None

        def forward(data: bytes) -> bool:
            """What has come goes on at once; false where there is more to be done, as the loop below does it."""
            nonlocal ready
            part = relay.feed(data)
            if write is not None and part and relay.goes_on and not note(relay.delivered) and write(part):
                if keep is not None:
                    keep(part)
                return True
            ready = part
            return False

        while not relay.done:
            if ready and gates is not None:
                ready = await self._pass(gates.feed(ready)) if gates.waits else gates.let_through(ready)
            if ready:
                await send(stream_part(ready, relay.is_content or gates is not None))
            if relay.failure is not None:
                raise relay.failure
            if relay.is_answered:
                ready = await self._read()
            else:
                try:
                    await self._pass_on(forward)
                except _ENDS as end:  # what `forward` raised comes out again: nothing is answered then
                    ready = self._ended(end)
            if (
                relay.is_content
                and note(relay.delivered)
                and not relay.is_answered
                and not await progress.extend(relay.delivered)
            ):
                ready += relay.cut()
                complete = False
        ready += relay.last
        if gates is not None:
            ready = await self._pass(gates.feed(ready)) + await self._pass(gates.end())
        self._ready = ready
        return complete

    async def _pass(self, gate: Awaitable[bytes]) -> bytes:
        try:
            return await gate
        except BaseException:
            self.stopped = True
            raise

    def closing(self, usage: Usage | None) -> bytes:
        """What tells the usage at the very end, in dialects that have such a thing; empty where nobody asked for it.

        usage: what is told where the provider stated none.
        """
        return self._relay.closing(usage)

    async def finish(self, send: Send, ending: bytes) -> None:
        """Send the last events, then let the provider end its answer, so that the connection can be kept."""
        await send({"type": "http.response.body", "body": self._ready + ending, "more_body": False})
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                async for _ in self._body:
                    pass
        except (TimeoutError, HiveError):
            pass

    async def close(self) -> None:
        await self._body.aclose()

    async def _read(self) -> bytes:
        """What can be forwarded of what comes next."""
        relay = self._relay
        try:
            if not relay.is_answered:
                return relay.feed(await self._body.__anext__())
            async with asyncio.timeout(LAST_EVENTS_SECONDS):
                return relay.feed(await self._body.__anext__())
        except _ENDS as end:
            return self._ended(end)

    def _ended(self, end: Exception) -> bytes:
        """What can be forwarded now that nothing more comes; raises what the stream broke with, but for its end."""
        relay = self._relay
        if isinstance(end, StopAsyncIteration):
            return relay.feed_end()
        relay.break_off()
        if not relay.done:
            raise end
        return b""


def _peeked(body: bytes) -> tuple[Figures | None, Any]:
    """The usage that a JSON body states, as far as it is one, and the error. Raises one of `UNREADABLE`."""
    try:
        peek = _peek(body)
    except msgspec.ValidationError:
        return None, _peek_at_whatever(body).error
    return peek.usage, peek.error


def _relay(request: Request, provider: str) -> ForwardedStream:
    endpoint = request.endpoint
    if endpoint.fields:
        return StreamRelay(provider, request.choices, request.usage_asked)
    assert endpoint.dialect is not None, "what has no fields is a conversation"
    return WatchedStream(provider, endpoint.dialect, request.prompt())


def _describe(span: Span, model: str, reasons: Iterable[str | None]) -> None:
    if model:
        span.set("gen_ai.response.model", model[:MAX_NAME_CHARS])
    if found := [reason[:MAX_NAME_CHARS] for reason in reasons if reason]:
        span.set("gen_ai.response.finish_reasons", found)


async def refusal(answer: ProviderAnswer, provider: str) -> HiveError:
    """The error that an answer with another status than 200 stands for."""
    parts: list[bytes] = []
    size = 0
    try:
        async for data in answer.body:
            parts.append(data)
            size += len(data)
            if size > MAX_ERROR_BYTES:
                break
    except HiveError:
        pass  # the status says enough
    return failure(answer.status, answer.headers, b"".join(parts), provider)


async def send_whole(send: Send, body: bytes, headers: Headers) -> None:
    """A JSON answer."""
    own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": own + headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def start_stream(send: Send, headers: Headers) -> Awaitable[None]:
    return send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS + headers})


def stream_part(body: bytes, is_content: bool = True) -> dict[str, Any]:
    if is_content:
        return {"type": "http.response.body", "body": body, "more_body": True}
    return {"type": "http.response.body", "body": body, "more_body": True, "hive.content": False}


async def _pull(body: Body, take: Callable[[bytes], bool]) -> None:
    """A `PassOn` for bodies without one."""
    while take(await body.__anext__()):
        pass


async def _read(body: Body, provider: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for data in body:
        parts.append(data)
        size += len(data)
        if size > MAX_BODY_BYTES:
            raise broken_answer(provider, f"answered with more than {MAX_BODY_BYTES} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)
