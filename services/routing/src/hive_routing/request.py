"""A client's body, parsed once: the fields as raw JSON, and the few values that the gateway acts on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from hive_routing.dialects.form import Prompt
from hive_routing.dialects.places import Slot
from hive_routing.dialects.seals import are_in
from hive_routing.endpoints import ACTED_ON, Endpoint, invalid, shown
from hive_routing.outline import outline
from hive_runtime.errors import HiveError, Kind

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def _spellings(names: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """The right ones of each name, by the name without regard to case."""
    found: dict[str, set[str]] = {}
    for name in names:
        found.setdefault(name.casefold(), set()).add(name)
    return {folded: frozenset(known) for folded, known in found.items()}


_NULL = Raw(b"null")
PDF_MARK = b"/pdf"
LARGE_BYTES = 64 * 1024
MANY_VALUES = 20_000
"""Looking at each of them in turn takes a few milliseconds."""
_SIGNS = (b",", b"[", b"{")
"""There are no more values than these together; those in texts count too, but none is in an image."""
_SPELLED = _spellings(ACTED_ON)
_SPELLED_OPTIONS = _spellings(["include_usage"])


class Request(msgspec.Struct):
    """One request to a hot endpoint.

    fields: the body's members as the client spelled them; the last one of a name counts.
    choices: how many choices a full answer has.
    usage_asked: the client wants the usage as a chunk of its stream.
    output_bound: tokens of a choice at the most, as the client said; None where it did not.
    carries_seals: something in it came from a provider of another dialect, and is meant for that one alone.
    names_pdf: `/pdf` occurs where it may say what a part is.
    decoded: values of members beside `messages`, by whoever had to decode them; taken out by the first who needs them.
    spoken: the messages of a chat in which each is a role and a text, as long as they lie in memory.
    is_large: it holds so many values that others would feel it on the event loop if all were looked at there. Bytes
    alone, such as an image's, do not make it so: they are passed over at some gigabytes a second.
    """

    endpoint: Endpoint
    model: str
    fields: dict[str, Raw]
    size: int
    stream: bool = False
    usage_asked: bool = False
    choices: int = 1
    carries_seals: bool = False
    names_pdf: bool = False
    is_large: bool = False
    values: dict[str, Any] = {}
    output_bound: int | None = None
    decoded: dict[str, Any] = {}
    spoken: list[Slot] | None = None
    _body: bytes = b""
    _prompt: Prompt | None = None
    _messages: list[Any] | None = None
    _outlines: dict[str, bytes] = {}

    @classmethod
    def parse(cls, endpoint: Endpoint, body: bytes, target: Target | None = None) -> Request:
        """The fields and the model's name; raises HiveError `invalid` where there are none.

        target: what the path says of it, in dialects where it does.
        """
        fields = parse_object(body)
        if target is not None and target.model is not None:
            name = target.model
        else:
            name = model_name(fields, endpoint.default_model)
        stream = target is not None and target.stream
        words = outline(body)
        return cls(
            endpoint,
            name,
            fields,
            len(body),
            stream,
            carries_seals=are_in(words),
            names_pdf=PDF_MARK in words,
            is_large=len(body) > LARGE_BYTES and sum(map(body.count, _SIGNS)) > MANY_VALUES,
            _body=body,
        )

    def check(self) -> None:
        """Read the known fields; raises HiveError `invalid` that names the first wrong one."""
        if not self.endpoint.fields:
            prompt = self.prompt()
            self.choices, self.stream, self.output_bound = prompt.choices, prompt.stream, prompt.max_output
            return
        self.values = values = self._read()
        self.choices = self.endpoint.read(values, self.fields)
        self.stream = bool(values.get("stream"))
        self.output_bound = self._output_bound()
        if options := values.get("stream_options"):
            _refuse_twins(options, _SPELLED_OPTIONS)
            self.usage_asked = bytes(options.get("include_usage", b"")) == b"true"

    def _read(self) -> dict[str, Any]:
        """The known fields, all in one go where nothing is wrong with them."""
        body, self._body = self._body, b""
        endpoint = self.endpoint
        try:
            values = endpoint.read_all(body)
        except (msgspec.DecodeError, RecursionError):
            known = endpoint.fields
            return {name: known[name].read(name, raw) for name, raw in self.fields.items() if name in known}
        if (messages := values.get("messages")) is not None:
            self._messages, values["messages"] = messages, True  # as those that are passed on unread
        return values

    def let_go(self) -> None:
        """Keep nothing that can be read again: what is large lies in memory once while a provider is at work."""
        self._messages = self.spoken = None
        self.decoded.clear()

    @property
    def messages(self) -> list[Any] | None:
        """Of a chat, as plain values; None where there are none, or nobody can read them, and elsewhere."""
        if self._messages is None and "messages" in self.endpoint.fields:
            try:
                found = msgspec.json.decode(self.fields.get("messages", _NULL))
            except (msgspec.DecodeError, RecursionError):
                return None
            self._messages = found if isinstance(found, list) else None
        return self._messages

    def prompt(self) -> Prompt:
        """What is asked, in the form between dialects. Raises HiveError `invalid` where it cannot be read."""
        if self._prompt is None:
            assert self.endpoint.dialect is not None, "only conversations have a form"
            self._prompt = self.endpoint.dialect.read_prompt(self.fields)
            self._prompt.stream = self._prompt.stream or self.stream
        return self._prompt

    def outline(self, name: str) -> bytes:
        """The outline of a member's value, for looking for words that mean something."""
        found = self._outlines.get(name)
        if found is None:
            found = self._outlines[name] = outline(bytes(self.fields[name]))
        return found

    def replace(self, changed: Mapping[str, Raw]) -> None:
        """Put other values in place of what the client said; who has its `fields` keeps them as they are."""
        self.fields = {**self.fields, **changed}
        self.decoded.clear()
        self._outlines.clear()
        self._prompt = self._messages = self.spoken = None

    def _output_bound(self) -> int | None:
        most: int | None = None
        for name in self.endpoint.bounds:
            given = self.values.get(name)
            # A provider that reads only one of two names may take the larger one.
            if given is not None and (most is None or given > most):
                most = given
        return most


class Target(NamedTuple):
    """What the path of a request says of it. model: None where the body names it."""

    model: str | None
    stream: bool


def parse_object(body: bytes) -> dict[str, Raw]:
    """The members of a JSON object; raises HiveError `invalid` that says what is wrong with the body."""
    try:
        if not body.isascii():
            body.decode()
        fields = _decode_object(body)
    except RecursionError:
        problem = "it is nested too deeply"
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 (byte {error.start})"
    except msgspec.ValidationError as error:
        raise HiveError(Kind.INVALID, f"The body must be a JSON object. {error}.") from None
    except msgspec.DecodeError as error:
        problem = str(error)
    else:
        if not fields.keys() <= ACTED_ON:
            _refuse_twins(fields, _SPELLED)
        return fields
    raise HiveError(Kind.INVALID, f"The body is not valid JSON: {problem}.")


def _refuse_twins(fields: Iterable[str], spelled: Mapping[str, frozenset[str]]) -> None:
    """Some providers read names without regard to case, and would take a twin for the field we checked."""
    for name in fields:
        known = spelled.get(name.casefold())
        if known is not None and name not in known:
            raise invalid(name, f"`{name}` is spelled `{min(known)}`.")


def model_name(fields: dict[str, Raw], default: str | None = None) -> str:
    """The value of `model`; raises HiveError `invalid`."""
    raw = fields.get("model")
    if default is not None and (raw is None or bytes(raw) == b"null"):
        return default
    if raw is None:
        raise invalid("model", "`model` is missing: name the model to ask.")
    try:
        if name := _decode_text(raw):
            return name
    except msgspec.DecodeError:
        pass
    raise invalid("model", f"`model` must be a non-empty string; got {shown(raw)}.")
