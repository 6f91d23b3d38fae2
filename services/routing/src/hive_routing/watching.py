"""A stream of a named dialect on its way to the client: forwarded as it is, read along for how it goes and ends.

As `hive_routing.stream` does for chat completions: it ends in exactly one way, what comes before the first content is
held back so that until then another deployment can answer, and so is what says that it is complete, until it is
settled. No I/O happens here.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Ended,
    Event,
    Failed,
    Gathering,
    Opaque,
    Opened,
    Prompt,
    Said,
    Sealed,
    Spent,
    Stop,
    Stopped,
)
from hive_routing.dialects.port import Dialect, Frame, GoesOn
from hive_routing.estimates import answer_countable
from hive_routing.forwarding import CHARS_PER_TOKEN, ForwardedStream
from hive_routing.providers.failures import error_event
from hive_routing.providers.sse import is_comment, read_named
from hive_routing.tokens import Countable
from hive_routing.usage import Usage

MAX_CHARS = 32 * 1024 * 1024
"""Of one answer."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


class WatchedStream(ForwardedStream):
    """One stream of a named dialect; what it ends with is in `last`."""

    def __init__(self, provider: str, dialect: Dialect, prompt: Prompt) -> None:
        super().__init__(provider)
        self._stated: Usage | None = None
        self._dialect = dialect
        self._prompt = prompt
        self._reader = dialect.reader()
        self._gathering = Gathering()
        self._open: set[tuple[int, int]] = set()
        self._running: set[int] = set()
        self._chars = 0
        self._pieces = 0

    def break_off(self) -> None:
        """The provider's stream broke or fell silent: what it had not said to be complete is not."""

    @property
    def stated(self) -> Usage | None:
        return self._stated

    @property
    def model(self) -> str:
        return self._gathering.answer.model

    @property
    def finish_reasons(self) -> list[str]:
        return [choice.stop.value for choice in self._gathering.answer.choices] if self.is_answered else []

    def output(self) -> Countable:
        """What was generated so far, for counting."""
        return answer_countable(self._gathering.settle())

    def closing(self, usage: Usage | None) -> bytes:
        """Nothing: how it ends is a part of the stream itself, in `last`."""
        return b""

    def cut(self) -> bytes:
        """End the answer here, for want of money: what closes what is open goes out, what says the end is `last`."""
        writer = self._dialect.writer(self._prompt)
        told = _told_again(self._gathering, self._open)
        if isinstance(writer, GoesOn):
            writer.go_on(self._reader, told)
        else:
            for event in told:
                writer.write(event)
        closing = [Closed(*each) for each in sorted(self._open)]
        out = b"".join(writer.write(event) for event in closing)
        for choice in sorted(self._running or {0}):
            out += writer.write(Stopped(choice, Stop.LENGTH))
        self.last = _for_want_of_money(writer.finish(self._stated))
        self.done = self.is_answered = True
        return out

    def _close(self) -> None:
        self._note(self._reader.end())
        if not self.done and self.failure is None:
            self._fail("ended the stream before the answer was finished")

    def _pass(self, raw: bytes) -> bytes:
        """The bytes of one event that go on."""
        name, data = read_named(raw)
        if data is None:
            return raw if is_comment(raw) and self._dialect.name != "gemini" else b""
        try:
            events = self._reader.feed(Frame(name, data))
        except UNREADABLE:
            self._fail("sent a malformed chunk")
            return b""
        self._note(events)
        if self.failure is not None:
            return b""
        if self.is_answered:
            self.last += raw
            return b""
        return raw

    def _note(self, events: Iterable[Event]) -> None:
        for event in events:
            if self.failure is None and not self.done:
                self._note_one(event)

    def _note_one(self, event: Event) -> None:
        match event:
            case Said(choice, number, text, logprobs):
                if logprobs is not None:
                    event = Said(choice, number, text)  # nobody asks for them again
                self._chars += len(text)
                self._pieces += 1
                self.delivered = max(self._pieces, self._chars // CHARS_PER_TOKEN)
                self._begun = self._begun or bool(text)
                self.is_content = True
            case Opened(choice, number, part):
                self._open.add((choice, number))
                self._running.add(choice)
                self._begun = self._begun or isinstance(part, Call | Opaque)
                self.is_content = True
            case Closed(choice, number):
                self._open.discard((choice, number))
            case Sealed():
                self._begun = self.is_content = True
            case Stopped(choice=choice):
                self._running.discard(choice)
                self._begun = self.is_content = True
                self.is_answered = not self._running
            case Spent(usage):
                self._stated = usage
            case Began(usage=usage):
                self.begun = usage
            case Failed(words):
                self.failure = error_event(words, self._provider)
                return
            case Ended():
                self._finish()
                return
        self._gathering.add(event)
        if self._chars > MAX_CHARS:
            self._fail(f"sent more than {MAX_CHARS} characters")


def _for_want_of_money(ending: bytes) -> bytes:
    """The first of the last events says why the answer ends there, beside what its dialect has to say."""
    first, blank, rest = ending.partition(b"\n\n")
    name, data = read_named(first + blank)
    if data is None:
        return ending
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    fields["hive"] = msgspec.Raw(b'{"reason":"budget"}')
    named = b"event: " + name.encode() + b"\n" if name else b""
    return named + b"data: " + msgspec.json.encode(fields) + b"\n\n" + rest


def _told_again(gathering: Gathering, open: set[tuple[int, int]]) -> Iterable[Event]:
    """The events of an answer as far as it has come, each text in one piece; what is in `open` is not closed."""
    answer = gathering.settle()
    yield Began(answer.id, answer.model, answer.created, answer.usage)
    for index, choice in enumerate(answer.choices):
        for number, part in enumerate(choice.parts):
            yield Opened(index, number, part)
            if (index, number) not in open:
                yield Closed(index, number)
