"""The steps of a stream while they grow, each as the events of the form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import count

import msgspec

from hive_routing.dialects.form import (
    Call,
    Closed,
    Event,
    Media,
    Opaque,
    Opened,
    Part,
    Said,
    Seal,
    Sealed,
    Text,
    Thinking,
)
from hive_routing.dialects.gemini.fields import Object, optional, typed
from hive_routing.dialects.interactions.contents import NAME, SIGNATURE, read_content
from hive_routing.dialects.seals import unpacked


class StreamedStep(ABC):
    """One step. numbers: those of the parts of the answer, in the order in which they open."""

    def __init__(self, step: Object, numbers: count[int]) -> None:
        self._step = step
        self._numbers = numbers
        self._number: int | None = None
        """Of the part that is open now."""

    @abstractmethod
    def start(self) -> list[Event]: ...

    @abstractmethod
    def grow(self, delta: Object) -> list[Event]: ...

    def stop(self) -> list[Event]:
        return self._close()

    def _open(self, part: Part) -> list[Event]:
        self._number = next(self._numbers)
        return [Opened(0, self._number, part)]

    def _say(self, text: str) -> list[Event]:
        assert self._number is not None
        return [Said(0, self._number, text)] if text else []

    def _seal(self, seal: Seal) -> list[Event]:
        assert self._number is not None
        return [Sealed(0, self._number, seal)]

    def _close(self) -> list[Event]:
        if self._number is None:
            return []
        number, self._number = self._number, None
        return [Closed(0, number)]


class OutputStep(StreamedStep):
    """What the model says: texts that grow, and media that come whole."""

    def start(self) -> list[Event]:
        events: list[Event] = []
        for content in typed(self._step.get("content") or [], list[Object], "step.content"):
            events += self.grow(content)
        return events

    def grow(self, delta: Object) -> list[Event]:
        if delta.get("type") == "thought_signature":
            seal = signature_of(delta)
            return [*self._text(), *self._seal(seal)] if seal is not None else []
        if delta.get("type") == "text":
            text = typed(delta.get("text", ""), str, "delta.text")
            return [*self._text(), *self._say(text)] if text else []
        part = read_content(delta, "delta")
        if not isinstance(part, Media | Opaque) or (isinstance(part, Opaque) and part.dialect == NAME):
            return []  # where words came from, which the form does not tell
        return [*self._close(), *self._open(part), *self._close()]

    def _text(self) -> list[Event]:
        return self._open(Text()) if self._number is None else []


class ThoughtStep(StreamedStep):
    """A thought, or, without a summary, nothing but a signature, which is kept as `signature`."""

    signature: Seal | None = None

    def start(self) -> list[Event]:
        events: list[Event] = []
        if self._step.get("summary") is not None:
            events += self._thought()
            for content in typed(self._step["summary"], list[Object], "step.summary"):
                events += self.grow({"type": "thought_summary", "content": content})
        self.signature = signature_of(self._step)
        return events

    def grow(self, delta: Object) -> list[Event]:
        match delta:
            case {"type": "thought_summary", "content": {"text": str(text)}}:
                return [*self._thought(), *self._say(text)]
            case {"type": "thought_signature"}:
                self.signature = signature_of(delta) or self.signature
                return []
            case _:
                return []

    def stop(self) -> list[Event]:
        if self._number is not None and self.signature is not None:
            seal, self.signature = self.signature, None
            return [*self._seal(seal), *self._close()]
        return self._close()

    def _thought(self) -> list[Event]:
        return self._open(Thinking(is_summary=True)) if self._number is None else []


class CallStep(StreamedStep):
    """call: it, without its arguments."""

    def __init__(self, step: Object, numbers: count[int], call: Call) -> None:
        super().__init__(step, numbers)
        self._call = call

    def start(self) -> list[Event]:
        arguments = typed(self._step.get("arguments") or {}, Object, "step.arguments")
        said = msgspec.json.encode(arguments).decode() if arguments else ""
        return [*self._open(self._call), *self._say(said)]

    def grow(self, delta: Object) -> list[Event]:
        match delta:
            case {"type": "arguments_delta", "arguments": str(text)}:
                return self._say(text)
            case {"type": "thought_signature"} if (seal := signature_of(delta)) is not None:
                return self._seal(seal)
            case _:
                return []


class OtherStep(StreamedStep):
    """A step of a kind that the form does not have: told when it is whole."""

    def start(self) -> list[Event]:
        return []

    def grow(self, delta: Object) -> list[Event]:
        self._step |= {name: each for name, each in delta.items() if name != "type"}
        return []

    def stop(self) -> list[Event]:
        return [*self._open(Opaque(NAME, str(self._step.get("type")), self._step)), *self._close()]


def signature_of(holder: Object) -> Seal | None:
    signature = optional(holder, SIGNATURE, str, "delta") if holder.get(SIGNATURE) else None
    return unpacked(signature, NAME, SIGNATURE) if signature else None
