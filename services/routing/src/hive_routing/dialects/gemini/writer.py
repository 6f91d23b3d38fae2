"""Writes a stream for one of Google's clients: frames without names, each with what is new.

Every frame has a candidate with a part in it, the last one too: Google's SDK keeps no history of a chat else. Comments
and `[DONE]` would end their reading with an error.
"""

from __future__ import annotations

import msgspec

from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Event,
    Media,
    Opaque,
    Opened,
    Part,
    Prompt,
    Refusal,
    Said,
    Seal,
    Sealed,
    Stop,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.dialects.gemini.answers import candidate_of, identity, written_parts
from hive_routing.dialects.gemini.fields import Object
from hive_routing.dialects.gemini.parts import signed
from hive_routing.dialects.gemini.seals import signature_of
from hive_routing.dialects.gemini.usages import write_usage
from hive_routing.usage import Usage


class GeminiWriter:
    """Writes one stream."""

    def __init__(self, prompt: Prompt) -> None:
        self._model = prompt.model
        self._identity: Object = {}
        self._open: dict[tuple[int, int], _Open] = {}
        self._stops: dict[int, Stop] = {}

    def write(self, event: Event) -> bytes:
        match event:
            case Began(id, model):
                self._identity = identity(id, model or self._model)
            case Opened(choice, number, part):
                return self._begin(choice, number, part)
            case Said(choice, number, text, logprobs):
                return self._say(choice, self._open[choice, number], text, logprobs)
            case Sealed(choice, number, seal):
                self._open[choice, number].seal = seal
            case Closed(choice, number):
                return self._frame(choice, self._open.pop((choice, number)).last_parts())
            case Stopped(choice, stop):
                self._stops[choice] = stop
            case _:
                pass
        return b""

    def finish(self, usage: Usage | None) -> bytes:
        candidates = [
            candidate_of(choice, [{"text": ""}], stop) for choice, stop in sorted(self._stops.items())
        ]
        return self._response(candidates, usage)

    def _begin(self, choice: int, number: int, part: Part) -> bytes:
        opened = self._open[choice, number] = _Open(part)
        text = part.text if isinstance(part, Text | Refusal | Thinking) else ""
        return self._say(choice, opened, text, None)

    def _say(self, choice: int, part: _Open, text: str, logprobs: object) -> bytes:
        if not text:
            return b""
        return self._frame(choice, part.said(text), logprobs)

    def _frame(self, choice: int, parts: list[Object], logprobs: object = None) -> bytes:
        return self._response([candidate_of(choice, parts, None, logprobs)], None) if parts else b""

    def _response(self, candidates: list[Object], usage: Usage | None) -> bytes:
        if not self._identity:
            self._identity = identity("", self._model)
        response: Object = {"candidates": candidates}
        if usage is not None:
            response["usageMetadata"] = write_usage(usage)
        return b"data: " + msgspec.json.encode(response | self._identity) + b"\n\n"


class _Open:
    """A part that has begun: a text goes out as it grows, anything else when it is whole."""

    def __init__(self, part: Part) -> None:
        self.seal: Seal | None = part.seal if isinstance(part, Text | Call | Thinking) else None
        self._part = part
        self._arguments: list[str] = [part.arguments] if isinstance(part, Call) else []

    def said(self, text: str) -> list[Object]:
        if isinstance(self._part, Call):
            self._arguments.append(text)
            return []
        return self._text(text)

    def last_parts(self) -> list[Object]:
        part = self._part
        match part:
            case Text() | Thinking():
                signature = signature_of(self.seal)
                return [signed(each, signature) for each in self._text("")] if signature is not None else []
            case Call(id, name):
                return written_parts([Call(id, name, "".join(self._arguments), seal=self.seal)])
            case Media() | Opaque():
                return written_parts([part])
            case _:
                return []

    def _text(self, text: str) -> list[Object]:
        return [{"text": text, "thought": True} if isinstance(self._part, Thinking) else {"text": text}]
