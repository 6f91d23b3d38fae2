"""A provider's stream on its way to the client: forwarded as it is, watched for how it ends.

It ends in exactly one way: every choice has its finish_reason and `done` is set, or `failure` is. Held back
until the first content comes: the preamble and keep-alives, so that until then another deployment can answer.
Usage is told where the client asked for it, in a chunk of its own that comes last, and nowhere else. No I/O
happens here.
"""

from __future__ import annotations

from io import StringIO
from typing import Any, Literal

import msgspec
from msgspec import Raw

from hive_routing.forwarding import CHARS_PER_TOKEN, ForwardedStream
from hive_routing.providers.failures import error_event
from hive_routing.providers.sse import CR, is_comment, one_line, read_event
from hive_routing.tokens import Countable
from hive_routing.usage import Usage

MAX_COUNTED_CHARS = 256 * 1024
"""Of an answer, kept in case that it has to be counted; what is beyond counts as `CHARS_PER_TOKEN`."""

_ABSENT = Raw()
_NULL = b"null"
_MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class _Delta(msgspec.Struct):
    content: Any = None
    tool_calls: Raw = _ABSENT


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Raw = _ABSENT
    error: Any = None
    object: Any = None


class _UsualDelta(msgspec.Struct, gc=False):
    content: str
    tool_calls: None = None


class _UsualChoice(msgspec.Struct, gc=False):
    delta: _UsualDelta
    index: Literal[0] = 0
    text: None = None
    finish_reason: None = None


class _UsualChunk(msgspec.Struct, gc=False):
    """What nearly all chunks are: the only choice says a text. A chunk that is anything else does not decode."""

    choices: tuple[_UsualChoice]
    usage: None = None
    error: None = None
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"


class _Identity(msgspec.Struct):
    id: str = ""
    object: str = ""
    created: int = 0
    model: str = ""


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_usual = msgspec.json.Decoder(_UsualChunk).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class _Output:
    """What a stream generated, kept up to a bound: it is only needed where the provider states no usage.

    chars: all of them, kept or not.
    """

    __slots__ = ("_calls", "_keep", "_left_out", "_text", "chars")

    def __init__(self) -> None:
        self._text = StringIO()  # many short strings take many times their length
        self._keep = self._text.write
        self._calls: list[Raw] = []
        self._left_out = 0
        self.chars = 0

    def add_text(self, text: str) -> int:
        """Returns about how many tokens it is with all before, by their characters."""
        self.chars = chars = self.chars + len(text)
        if chars > MAX_COUNTED_CHARS and chars - self._left_out > MAX_COUNTED_CHARS:
            self._left_out += len(text)
        else:
            self._keep(text)
        return chars // CHARS_PER_TOKEN

    def add_calls(self, calls: Raw) -> None:
        copied = bytes(calls)  # the original holds on to its whole event
        self.chars += len(copied)
        if self.chars - self._left_out > MAX_COUNTED_CHARS:
            self._left_out += len(copied)
        else:
            self._calls.append(Raw(copied))

    def countable(self) -> Countable:
        counted = Countable([self._text.getvalue()], extra=self._left_out // CHARS_PER_TOKEN)
        for calls in self._calls:
            counted.add_calls(msgspec.json.decode(calls))
        return counted


class StreamRelay(ForwardedStream):
    """One stream of chat or text completions."""

    def __init__(self, provider: str, choices: int, usage_asked: bool) -> None:
        """choices: how many of them must finish. usage_asked: the client wants the usage chunk."""
        super().__init__(provider)
        self._choices = choices
        self._usage_asked = usage_asked
        self._usage = self._usage_chunk = b""
        self._begins = False
        self._open: set[int] = set()
        self._finished: dict[int, str] = {}
        self._sample = b"{}"
        self._output = _Output()
        self._pieces = 0
        self._is_usual = False
        """The last chunk was a usual one, and nothing came behind it: the next one may well be so too."""

    def feed(self, data: bytes) -> bytes:
        """As a rule a read brings one event with one usual chunk: where another one came before, one look tells."""
        if self._is_usual:
            line, _, rest = data.partition(b"\n")
            if rest == b"\n" and line.startswith(b"data:") and CR not in line:
                try:
                    chunk = _decode_usual(line[5:])
                except _MALFORMED:
                    pass  # it says something else, or nothing
                else:
                    self._pieces = pieces = self._pieces + 1
                    tokens = self._output.add_text(chunk.choices[0].delta.content)
                    self.delivered = tokens if tokens > pieces else pieces
                    return data
        return self._feed_any(data)

    def _feed_any(self, data: bytes) -> bytes:
        self._is_usual = False
        if self._begun and not self._splitter.waiting and (line := one_line(data)) is not None:
            self.is_content = False
            forwarded = self._pass_data(line, data)
            self._look()
        else:
            forwarded = super().feed(data)
        self._is_usual = self._is_usual and self.goes_on and not self._splitter.waiting
        return forwarded

    def break_off(self) -> None:
        """The provider's stream broke or fell silent; no harm where every choice has its finish_reason."""
        if self.is_answered and self.failure is None:
            self.done = True

    @property
    def stated(self) -> Usage | None:
        """The usage that the provider said last."""
        return Usage.stated(self._usage) if self._usage else None

    def closing(self, usage: Usage | None) -> bytes:
        """The chunk that tells the usage, as JSON; empty where the client did not ask for it.

        usage: what it is told where the provider stated none.
        """
        if not self._usage_asked:
            return b""
        if usage is None and self._usage_chunk:
            return self._usage_chunk
        stated: Any = Raw(self._usage or _NULL) if usage is None else usage.as_json()
        return msgspec.json.encode(self._identity() | {"choices": [], "usage": stated})

    def cut(self) -> bytes:
        """End the answer here, for want of money: what finishes every choice that is not finished, and says why."""
        told = {"reason": "budget"}
        chunks = []
        for index in sorted((self._open or {0}) - self._finished.keys()):
            said: dict[str, Any] = {"text": ""} if self._is_text else {"delta": {}}
            choice = {"index": index, "finish_reason": "length"} | said
            chunks.append(self._identity() | {"choices": [choice], "hive": told})
        self._finished = dict.fromkeys(self._open, "length") | self._finished
        self.done = self.is_answered = True
        return b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks)

    @property
    def model(self) -> str:
        """As the provider calls it; empty where nothing came."""
        return str(self._identity()["model"])

    @property
    def finish_reasons(self) -> list[str]:
        """Of the choices that have finished, in their order."""
        return [reason for _, reason in sorted(self._finished.items())]

    def _identity(self) -> dict[str, Any]:
        return msgspec.structs.asdict(msgspec.json.decode(self._sample, type=_Identity))

    @property
    def _is_text(self) -> bool:
        """Choices of text completions hold `text`, those of chats a `delta`."""
        return bool(_decode(self._sample).choices) and b'"delta"' not in self._sample

    def output(self) -> Countable:
        """What was generated so far, for counting."""
        return self._output.countable()

    def _pass(self, event: bytes) -> bytes:
        """The bytes of one event that go on."""
        data, has_id = read_event(event)
        if data is None:
            return event if is_comment(event) else b""
        return self._pass_data(data, b"data: " + data + b"\n\n" if has_id else event)

    def _pass_data(self, data: bytes, event: bytes) -> bytes:
        """What of `event` goes on, which holds `data` and nothing else that the client must not see."""
        try:
            chunk = _decode(data)
            if not self._begun and chunk.choices:
                self._begins = _has_content(data)
        except _MALFORMED:
            if data.startswith(b"[DONE]"):
                self._finish()
            else:
                self._fail("sent a malformed chunk")
            return b""
        if chunk.error or chunk.object == "error":
            error = chunk.error or msgspec.json.decode(data)
            self.failure = error_event(error, self._provider)
            return b""
        usage = chunk.usage and bytes(chunk.usage)
        if usage and usage != _NULL:
            return self._pass_usage(chunk, usage, data)
        if chunk.choices:
            self._note(chunk.choices, data)
            self._is_usual = _is_usual(chunk, chunk.choices)
        elif not self._usage_asked or chunk.choices is None:
            return b""
        return event

    def _pass_usage(self, chunk: _Chunk, usage: bytes, data: bytes) -> bytes:
        """The event of a chunk that states usage beside its choices, without it; nothing where that is all it does."""
        self._usage = usage
        if not chunk.choices:
            self._usage_chunk = data
            return b""
        self._note(chunk.choices, data)
        return self._without_usage(data)

    def _without_usage(self, data: bytes) -> bytes:
        """The event of a chunk that states usage beside its choices, without it."""
        fields = _decode_fields(data)
        if self._usage_asked:
            fields["usage"] = Raw(_NULL)
        else:
            del fields["usage"]
        return b"data: " + msgspec.json.encode(fields) + b"\n\n"

    def _note(self, choices: list[_Choice], data: bytes) -> None:
        """Keep what a chunk tells of its choices."""
        if not self._begun:
            self._sample = data
            self._begun = self._begins
        self.is_content = True
        self._pieces += len(choices)
        for choice in choices:
            if choice.index not in self._open or choice.finish_reason is not None:
                self._note_step(choice)
            if choice.text is not None:
                self._output.add_text(choice.text)
            if (delta := choice.delta) is not None:
                if type(delta.content) is str:
                    self._output.add_text(delta.content)
                if _is_there(delta.tool_calls):
                    self._output.add_calls(delta.tool_calls)
        self.delivered = max(self._pieces, self._output.chars // CHARS_PER_TOKEN)

    def _note_step(self, choice: _Choice) -> None:
        """A choice begins, or ends: all are answered once each one that has begun has ended too."""
        self._open.add(choice.index)
        if choice.finish_reason is not None:
            self._finished[choice.index] = choice.finish_reason
        self.is_answered = len(self._finished) >= self._choices and self._finished.keys() >= self._open


def _is_usual(chunk: _Chunk, choices: list[_Choice]) -> bool:
    """Whether it is what `_UsualChunk` stands for, so that the next one may be read as such."""
    first = choices[0]
    delta = first.delta
    return (
        chunk.object == "chat.completion.chunk"
        and len(choices) == 1
        and (first.index, first.text, first.finish_reason) == (0, None, None)
        and delta is not None
        and type(delta.content) is str
        and not _is_there(delta.tool_calls)
    )


def _is_there(value: Raw) -> bool:
    return bool(value) and bytes(value) != _NULL  # a Raw is never equal to bytes


def _has_content(data: bytes) -> bool:
    """Whether a chunk holds more than roles and empty values."""
    choices = msgspec.json.decode(data)["choices"]
    for choice in choices:
        if choice.get("finish_reason") is not None or choice.get("text"):
            return True
        delta = choice.get("delta") or {}
        if any(value for name, value in delta.items() if name != "role"):
            return True
    return False
