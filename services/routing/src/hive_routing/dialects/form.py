"""The one typed form that every dialect of conversations is read into and written from.

A prompt, its answer, and the events of a stream, as values that belong to no provider. What only one dialect can say
is carried along unread (`Opaque`, `Seal`), comes back to that dialect unchanged, and is refused where another one
would have to lose it. No I/O happens here.

Normal form, which readers give and writers may rely on:
* roles are `system`, `user`, `assistant` and `tool`; `developer` is read as `system`;
* a tool's results stand in a turn of their own (`tool`), never beside other parts; adjacent results share one turn;
* the parts of an assistant's turn keep their order; dialects that have none write thinking, then text, then calls;
* `Text` of no characters is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal

import msgspec

from hive_routing.usage import Usage
from hive_runtime.errors import HiveError

Role = Literal["system", "user", "assistant", "tool"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class CacheMark(msgspec.Struct, frozen=True):
    """What came up to here may be cached by the provider. ttl: `5m`, `1h`, or None for its default."""

    ttl: str | None = None


class Seal(msgspec.Struct, frozen=True):
    """Something that only the provider who made it can read, and that it wants back unchanged.

    dialect: whose it is. kind: what it calls it (`signature`, `redacted`, `encrypted`, …). value: as it came.
    """

    dialect: str
    kind: str
    value: str


class Text(msgspec.Struct, tag="text"):
    """Words. seal: what came with them, as Gemini's thought signatures do."""

    text: str = ""
    cache: CacheMark | None = None
    seal: Seal | None = None


class Refusal(msgspec.Struct, tag="refusal"):
    """The model's words for not answering."""

    text: str = ""


class Media(msgspec.Struct, tag="media"):
    """An image, a document, a sound or a film: exactly one of data (base64), url and file_id is set.

    mime: of data; of the others where it is known. name: of a document. detail: how closely an image is looked at.
    context: what Anthropic's documents may say about themselves.
    """

    kind: Literal["image", "document", "audio", "video"]
    mime: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None
    detail: str | None = None
    context: str | None = None
    cache: CacheMark | None = None


class Call(msgspec.Struct, tag="call"):
    """The model calls a tool. arguments: JSON source, of an object; in a stream it grows. id: of the call."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    cache: CacheMark | None = None
    seal: Seal | None = None


class Result(msgspec.Struct, tag="result"):
    """What a tool gave. name: of the tool, where the dialect says it or the call is known."""

    call_id: str
    parts: list[Text | Media | Opaque] = []
    name: str | None = None
    is_error: bool = False
    cache: CacheMark | None = None


class Thinking(msgspec.Struct, tag="thinking"):
    """What the model thought. text: empty where only the seal came. is_summary: of it, by the provider.

    id: of OpenAI's reasoning item.
    """

    text: str = ""
    seal: Seal | None = None
    is_summary: bool = False
    id: str | None = None


class Opaque(msgspec.Struct, tag="opaque"):
    """A part, or a tool, that only `dialect` can say. kind: its name there. value: as it was decoded."""

    dialect: str
    kind: str
    value: Any = None


Part = Text | Refusal | Media | Call | Result | Thinking | Opaque


class Turn(msgspec.Struct):
    """name: of who speaks, in the dialects that have it."""

    role: Role
    parts: list[Part] = []
    name: str | None = None


class Tool(msgspec.Struct, tag="tool"):
    """A function that the model may call. schema: of its arguments, a JSON schema; None: it takes none."""

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache: CacheMark | None = None


class ToolChoice(msgspec.Struct):
    """mode `named`: the tool `names[0]`; other modes with names: one of these only. parallel: more than one at once."""

    mode: Literal["auto", "none", "required", "named"] | None = None
    names: list[str] = []
    parallel: bool | None = None


class Format(msgspec.Struct):
    """What the answer has to be; kind `schema`: JSON that fits it."""

    kind: Literal["text", "json", "schema"] = "text"
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Reasoning(msgspec.Struct):
    """How much the model thinks first: by effort or by tokens; is_off: not at all; adaptive: as it sees fit.

    summary: `auto`, `concise`, `detailed`. visible: the caller wants to read it.
    """

    effort: Effort | None = None
    budget: int | None = None
    is_off: bool = False
    adaptive: bool = False
    summary: str | None = None
    visible: bool | None = None


class Sampling(msgspec.Struct):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class Prompt(msgspec.Struct):
    """What a model is asked.

    max_output: tokens. choices: how many answers. usage_asked: a stream has to say its usage, where that is optional.
    user: the caller's own name for who asks. tier: of service. rest: members of the body that the form has no place
    for, of `dialect`; writers of another dialect refuse them (`hive_routing.dialects.port.refuse_rest`).
    """

    dialect: str
    model: str = ""
    turns: list[Turn] = []
    tools: list[Tool | Opaque] = []
    choice: ToolChoice = msgspec.field(default_factory=ToolChoice)
    format: Format = msgspec.field(default_factory=Format)
    reasoning: Reasoning = msgspec.field(default_factory=Reasoning)
    sampling: Sampling = msgspec.field(default_factory=Sampling)
    max_output: int | None = None
    stop: list[str] = []
    choices: int = 1
    stream: bool = False
    usage_asked: bool = False
    user: str | None = None
    metadata: dict[str, str] | None = None
    tier: str | None = None
    verbosity: str | None = None
    rest: dict[str, Any] = {}

    @property
    def wants_thoughts(self) -> bool | None:
        """Whether the caller wants to read what the model thinks; who gives Anthropic's a budget for it, does."""
        reasoning = self.reasoning
        if reasoning.visible is None and self.dialect == "messages" and reasoning.budget is not None:
            return True
        return reasoning.visible


class Stop(Enum):
    """Why an answer ended."""

    END = "end"
    LENGTH = "length"
    SEQUENCE = "sequence"
    TOOLS = "tools"
    FILTERED = "filtered"
    PAUSED = "paused"
    CONTEXT = "context"
    """The context window is full."""


class Choice(msgspec.Struct):
    """One answer. sequence: the stop sequence that ended it. logprobs: as chat says them, from a dialect that has them.

    A stop reason that dialects do not tell apart is read as the most general one; with calls in it, it is `TOOLS`.
    """

    parts: list[Part] = []
    stop: Stop = Stop.END
    sequence: str | None = None
    logprobs: Any = None


class Answer(msgspec.Struct):
    """What a model answered. id: as the provider says; empty where it says none. created: Unix seconds, 0: not said."""

    id: str = ""
    model: str = ""
    created: int = 0
    choices: list[Choice] = []
    usage: Usage | None = None


# The events of a stream. Parts of one choice are numbered from 0 in the order in which they open; several may be open
# at once. Every opened part is closed before its choice stops.


class Began(msgspec.Struct, tag="began"):
    """The first event, once. usage: what is known of it already."""

    id: str = ""
    model: str = ""
    created: int = 0
    usage: Usage | None = None


class Opened(msgspec.Struct, tag="opened"):
    """A part begins. part: it, with what does not grow; its text or arguments come as `Said`."""

    choice: int
    number: int
    part: Part


class Said(msgspec.Struct, tag="said"):
    """The text of a part grows, or the arguments of a call."""

    choice: int
    number: int
    text: str
    logprobs: Any = None


class Sealed(msgspec.Struct, tag="sealed"):
    """The seal of a part; the last one counts."""

    choice: int
    number: int
    seal: Seal


class Closed(msgspec.Struct, tag="closed"):
    choice: int
    number: int


class Stopped(msgspec.Struct, tag="stopped"):
    """A choice is complete."""

    choice: int
    stop: Stop
    sequence: str | None = None


class Spent(msgspec.Struct, tag="spent"):
    """The usage as far as it is known; the last one counts."""

    usage: Usage


class Failed(msgspec.Struct, tag="failed"):
    """The provider ended the stream with an error; nothing follows. words: the value of its error, decoded."""

    words: Any


class Ended(msgspec.Struct, tag="ended"):
    """The provider said that this was all."""


Event = Began | Opened | Said | Sealed | Closed | Stopped | Spent | Failed | Ended


MOST_PIECES = 512


def gather(events: Sequence[Event]) -> Answer:
    """The whole answer that a complete stream stands for."""
    gathering = Gathering()
    for event in events:
        gathering.add(event)
    return gathering.answer


class Gathering:
    """Puts the events of a stream together to an answer, one by one."""

    def __init__(self) -> None:
        self.answer = Answer()
        self._texts: dict[tuple[int, int], list[str]] = {}

    def add(self, event: Event) -> None:
        answer = self.answer
        match event:
            case Said(choice, number, text, logprobs):
                texts = self._texts.setdefault((choice, number), [])
                texts.append(text)
                if len(texts) > MOST_PIECES:  # many short strings take many times their length
                    texts[:] = ["".join(texts)]
                if isinstance(logprobs, dict):
                    _extend_logprobs(self._choice(choice), logprobs)
            case Began(id, model, created, usage):
                answer.id, answer.model, answer.created = id, model, created
                answer.usage = usage or answer.usage
            case Opened(choice, number, part):
                parts = self._choice(choice).parts
                assert number == len(parts), "parts are numbered in the order in which they open"
                parts.append(msgspec.structs.replace(part))
            case Sealed(choice, number, seal):
                sealed = self._choice(choice).parts[number]
                assert isinstance(sealed, Text | Call | Thinking), "nothing else has a seal"
                sealed.seal = seal
            case Closed(choice, number):
                self._settle(choice, number)
            case Stopped(choice, stop, sequence):
                stopped = self._choice(choice)
                stopped.stop, stopped.sequence = stop, sequence
            case Spent(usage):
                answer.usage = usage
            case _:
                pass

    def settle(self) -> Answer:
        """The answer as far as it has come, parts that are still open included."""
        for choice, number in list(self._texts):
            self._settle(choice, number)
        return self.answer

    def _settle(self, choice: int, number: int) -> None:
        text = "".join(self._texts.pop((choice, number), ()))
        if not text:
            return
        part = self._choice(choice).parts[number]
        if isinstance(part, Call):
            part.arguments += text
        elif isinstance(part, Text | Refusal | Thinking):
            part.text += text

    def _choice(self, index: int) -> Choice:
        choices = self.answer.choices
        while len(choices) <= index:
            choices.append(Choice())
        return choices[index]


def _extend_logprobs(choice: Choice, more: dict[str, Any]) -> None:
    if not isinstance(choice.logprobs, dict):
        choice.logprobs = {name: list(value or ()) for name, value in more.items()}
        return
    for name, value in more.items():
        choice.logprobs.setdefault(name, []).extend(value or ())


class Untranslatable(HiveError):
    """A 400: what the caller asks for cannot be said in the dialect of the provider. Another deployment may do it."""
