"""One request at one deployment: in the dialect that its client speaks where the provider speaks it too, else in
another one, through the form between them.

What comes back is in the client's dialect again, whichever way it was asked: a whole answer at once, a stream piece
by piece, in a body that the rest of the pipeline cannot tell from a provider's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from hive_routing.catalogue import Deployment
from hive_routing.dialects.form import (
    Answer,
    Began,
    Ended,
    Event,
    Failed,
    Opened,
    Prompt,
    Spent,
    Stopped,
    Untranslatable,
)
from hive_routing.dialects.pieces import whole
from hive_routing.dialects.port import Dialect, Frame
from hive_routing.dialects.registry import BY_NAME
from hive_routing.providers.failures import broken_answer, error_event
from hive_routing.providers.port import Body
from hive_routing.providers.sse import EventSplitter, EventTooLarge, read_named
from hive_routing.request import Request
from hive_routing.splice import splice
from hive_routing.usage import Usage
from hive_routing.watching import UNREADABLE
from hive_runtime.errors import HiveError, Kind


class Work(msgspec.Struct):
    """What one deployment is asked. operation: of the provider port. translation: None in the client's own dialect."""

    operation: str
    body: bytes
    translation: Translation | None = None


@dataclass(slots=True)
class Translation:
    """Between the dialect of the client (`own`) and that of the provider. prompt: as the client asked it.

    prompt_tokens: by our own count, for dialects whose streams begin with it. now: Unix seconds, for answers of
    providers who do not say when they were made.
    """

    own: Dialect
    provider: Dialect
    prompt: Prompt
    prompt_tokens: int = 0
    now: int = 0

    def answer(self, body: bytes) -> tuple[bytes, Answer]:
        """A whole answer in the client's dialect, and in the form. Raises msgspec.DecodeError where it is none."""
        answer = self.provider.read_answer(body)
        answer.created = answer.created or self.now
        return self.own.write_answer(answer, self.prompt), answer

    def stream(self, body: Body, provider: str) -> TranslatedBody:
        return TranslatedBody(body, self, provider)


def prepare(request: Request, deployment: Deployment, bound: int | None) -> Work:
    """What the deployment is asked. bound: tokens of a choice that the provider has to be told of.

    Raises Untranslatable where its provider cannot be asked this.
    """
    operation, speaks = request.endpoint.operation, deployment.provider.speaks
    own = request.endpoint.dialect
    if operation in speaks:
        if own is not None and request.carries_seals:
            return Work(operation, _written(request, deployment, own, bound))
        return Work(operation, splice(request, deployment.model, deployment.bound_field, bound))
    name = next((each for each in speaks if each in BY_NAME), None) if own is not None else None
    if own is None or name is None:
        path = request.endpoint.path
        message = (
            f"The model `{request.model}` cannot be asked at /v1/{path}: its provider has no such endpoint."
        )
        raise Untranslatable(Kind.INVALID, message, "model", reason="not_supported")
    dialect = BY_NAME[name]
    return Work(
        name, _written(request, deployment, dialect, bound), Translation(own, dialect, _asked(request))
    )


def _asked(request: Request) -> Prompt:
    """As the caller asked it, but that the usage is always told: it is taken out again where nobody wants it."""
    return replace(request.prompt(), stream=request.stream, usage_asked=True)


def _written(request: Request, deployment: Deployment, dialect: Dialect, bound: int | None) -> bytes:
    """The body in a provider's dialect, without what other providers sealed."""
    most = bound if request.output_bound is None else request.output_bound
    prompt = replace(_asked(request), model=deployment.model, max_output=most)
    if dialect.name != prompt.dialect:
        prompt.turns = whole(prompt)
    body = dialect.write_prompt(prompt)
    if dialect.name == "chat" and deployment.bound_field:
        body = _renamed_bound(body, deployment.bound_field)
    return msgspec.json.encode(body)


def _renamed_bound(body: dict[str, Any], name: str) -> dict[str, Any]:
    names = ("max_tokens", "max_completion_tokens")
    return {name if key in names else key: value for key, value in body.items()}


class TranslatedBody:
    """A provider's stream in the dialect of the client: whole events, as soon as they can be told.

    usage: as far as the provider has stated it. begun: what it stated of the prompt when it began.
    Raises HiveError where the provider's stream fails.
    """

    def __init__(self, body: Body, translation: Translation, provider: str) -> None:
        self.usage: Usage | None = None
        self.begun: Usage | None = None
        self._body = body
        self._provider = provider
        self._choices = translation.prompt.choices
        self._translation = translation
        self._reader = translation.provider.reader()
        self._writer = translation.own.writer(translation.prompt)
        self._splitter = EventSplitter()
        self._open: set[int] = set()
        self._stopped: set[int] = set()
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._over:
            try:
                data = await self._body.__anext__()
            except StopAsyncIteration:
                out = self._end()
            except HiveError:
                if not self._is_answered:
                    raise
                out = self._finish()
            else:
                out = self._feed(data)
            if out:
                return out
        async for _ in self._body:  # so that the connection can be kept
            pass
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._body.aclose()

    @property
    def _is_answered(self) -> bool:
        return len(self._stopped) >= self._choices and self._stopped >= self._open

    def _feed(self, data: bytes) -> bytes:
        try:
            events = self._splitter.feed(data)
        except EventTooLarge:
            raise broken_answer(self._provider, "sent an event that is too large") from None
        return b"".join([self._translate(event) for event in events])

    def _end(self) -> bytes:
        rest = self._splitter.rest()
        out = self._translate(rest.rstrip(b"\r\n") + b"\n\n") if rest.strip() else b""
        if not self._over:
            out += self._write(self._reader.end())
        if not self._over and self._is_answered:
            out += self._finish()
        self._over = True
        return out

    def _translate(self, event: bytes) -> bytes:
        name, data = read_named(event)
        if data is None or self._over:
            return b""
        try:
            events = self._reader.feed(Frame(name, data))
        except UNREADABLE:
            raise broken_answer(self._provider, "sent a malformed chunk") from None
        return self._write(events)

    def _write(self, events: list[Event]) -> bytes:
        out = []
        for event in events:
            match event:
                case Failed(words):
                    raise error_event(words, self._provider)
                case Ended():
                    out.append(self._finish() if self._is_answered else b"")
                    self._over = True
                    break
                case Spent(usage):
                    self.usage = usage
                case Began():
                    self.begun = event.usage
                    event.created = event.created or self._translation.now
                    event.usage = event.usage or Usage.counted(self._translation.prompt_tokens, 0)
                case Opened(choice=choice):
                    self._open.add(choice)
                case Stopped(choice=choice):
                    self._stopped.add(choice)
                case _:
                    pass
            out.append(self._writer.write(event))
        return b"".join(out)

    def _finish(self) -> bytes:
        self._over = True
        return self._writer.finish(self.usage)
