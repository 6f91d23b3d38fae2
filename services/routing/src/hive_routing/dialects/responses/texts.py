"""Where guards find texts: in what a client asks, in an answer, and in the events of a stream.

In a stream a text comes in pieces, and again as a whole in the events that complete it, its part, its item and the
response. The settings that a response repeats are the caller's own words and no part of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from hive_routing.dialects.places import UNREADABLE, Document, Place, Slot
from hive_routing.dialects.responses.files import words_of_file
from hive_routing.dialects.words import label
from hive_routing.guarding.port import Origin

Path = tuple[Any, ...]

_ROLES = {
    "user": Origin.USER,
    "system": Origin.APPLICATION,
    "developer": Origin.APPLICATION,
    "assistant": Origin.MODEL,
}
_WORDS = frozenset(
    {
        "arguments",
        "code",
        "command",
        "commands",
        "content",
        "description",
        "diff",
        "error",
        "input",
        "logs",
        "message",
        "output",
        "pattern",
        "queries",
        "query",
        "reason",
        "refusal",
        "revised_prompt",
        "server_description",
        "stderr",
        "stdout",
        "text",
        "transcript",
    }
)
"""Members that hold what is said, in items of any kind."""
_SPEECHLESS = frozenset({"annotations", "input_schema", "logprobs", "parameters", "schema"})
"""Members with nothing in them that is said."""
_FROM_TOOLS = frozenset({"error", "output", "outputs", "results"})
"""Members that hold what a tool gave."""


_ALL_SAID = frozenset({"arguments", "input"})
"""Members in which every text is said, where they hold more than one."""
_OF_TOOLS: Mapping[str, Origin] = {
    "mcp_list_tools": Origin.TOOL,
    "additional_tools": Origin.APPLICATION,
}
"""Items that say which tools there are."""


class _Said(NamedTuple):
    """path: where it stands in its item."""

    path: Path
    place: Any
    key: Any
    origin: Origin
    is_json: bool


@dataclass(frozen=True, slots=True)
class _Growing:
    """How events tell a text piece by piece.

    path: where it stands in its item, the name of the member where there are several followed by `index`, the
    member of the event that says which one, and `last`. word: the event's member with all of it, once it is complete.
    """

    word: str
    path: Path
    index: str = ""
    last: Path = ()

    def of(self, event: Mapping[str, Any]) -> Path:
        at = (label(event.get(self.index)),) if self.index else ()
        return (*self.path, *at, *self.last)


_GROWING = {
    "response.output_text": _Growing("text", ("content",), "content_index", ("text",)),
    "response.refusal": _Growing("refusal", ("content",), "content_index", ("refusal",)),
    "response.reasoning_text": _Growing("text", ("content",), "content_index", ("text",)),
    "response.reasoning_summary_text": _Growing("text", ("summary",), "summary_index", ("text",)),
    "response.function_call_arguments": _Growing("arguments", ("arguments",)),
    "response.mcp_call_arguments": _Growing("arguments", ("arguments",)),
    "response.custom_tool_call_input": _Growing("input", ("input",)),
    "response.code_interpreter_call_code": _Growing("code", ("code",)),
    "response.shell_call_command": _Growing("command", ("action", "commands"), "command_index"),
    "response.audio.transcript": _Growing("transcript", ("transcript",)),
}
_PARTS = {
    "response.content_part": ("content", "content_index"),
    "response.reasoning_summary_part": ("summary", "summary_index"),
}
_OUTPUT_OF_SHELL = "response.shell_call_output_content"


def prompt_texts(fields: Mapping[str, Raw]) -> Mapping[str, Document]:
    """By the member of the body that holds them. What cannot be read is the provider's to refuse."""
    found = {}
    for name, read in _READERS.items():
        raw = fields.get(name)
        if raw is None:
            continue
        try:
            holder = {name: msgspec.json.decode(raw)}
        except UNREADABLE:
            continue
        found[name] = Document(holder, list(read(holder, name)))
    return found


def answer_texts(value: Any) -> Iterator[Slot]:
    for item in _objects(value.get("output") if isinstance(value, dict) else None):
        yield from _slots(_item(item))


def event_texts(value: Any) -> Iterator[Place]:
    if not isinstance(value, dict):
        return
    name, _, step = str(value.get("type")).rpartition(".")
    if name in _GROWING:
        yield from _pieces(value, name, step)
    elif name in _PARTS and isinstance(part := value.get("part"), dict):
        listed, index = _PARTS[name]
        yield from _again(_channel(value), _walk(part, Origin.MODEL, (listed, label(value.get(index)))))
    elif name == _OUTPUT_OF_SHELL:
        yield from _output_of_shell(value, step)
    elif name == "response.output_item" and isinstance(item := value.get("item"), dict):
        yield from _again(_channel_of(item, value.get("output_index")), _item(item))
    elif isinstance(response := value.get("response"), dict):
        for at, item in enumerate(_objects(response.get("output"))):
            yield from _again(_channel_of(item, at), _item(item))


def _pieces(event: dict[str, Any], name: str, step: str) -> Iterator[Place]:
    growing = _GROWING[name]
    key = "delta" if step == "delta" else growing.word
    if isinstance(event.get(key), str) and event[key]:
        path = growing.of(event)
        yield Place((*_channel(event), *path), event, key, path[-1] == "arguments", step != "delta")


def _output_of_shell(event: dict[str, Any], step: str) -> Iterator[Place]:
    if step != "delta":
        yield from _again(_channel(event), _walk({"output": event.get("output")}, Origin.TOOL, ()))
    elif isinstance(delta := event.get("delta"), dict):
        at: Path = ("output", label(event.get("command_index")))
        for said in _walk(delta, Origin.TOOL, at):
            yield Place((*_channel(event), *said.path), said.place, said.key)


def _again(channel: Path, texts: Iterable[_Said]) -> Iterator[Place]:
    for said in texts:
        yield Place((*channel, *said.path), said.place, said.key, said.is_json, True)


def _channel(event: Mapping[str, Any]) -> Path:
    """The item that an event speaks of: by its id, or by its place where events leave that out."""
    id = label(event.get("item_id"))
    return (id,) if id else ("", label(event.get("output_index")))


def _channel_of(item: Mapping[str, Any], index: Any) -> Path:
    id = None if item.get("type") == "shell_call" else label(item.get("id"))
    return (id,) if id else ("", label(index))


def _item(item: dict[str, Any]) -> Iterator[_Said]:
    """All texts of an item, of what kind ever."""
    kind = item.get("type")
    if kind in (None, "message"):
        return _walk(item, _ROLES.get(str(item.get("role")), Origin.USER), ())
    origin = Origin.TOOL if str(kind).endswith("_output") else Origin.MODEL
    return _walk(item, _OF_TOOLS.get(str(kind), origin), ())


class _Spot(NamedTuple):
    """A value, still to be looked at. is_said: it is words, or a list of them. is_all: so is all that is in it."""

    path: Path
    place: Any
    key: Any
    origin: Origin
    is_said: bool
    is_all: bool = False


def _walk(value: dict[str, Any], origin: Origin, path: Path) -> Iterator[_Said]:
    """The texts in it, in their order; nothing here calls itself, for it may be nested as deep as can be."""
    ahead = list(_members(value, origin, path))[::-1]
    while ahead:
        path, place, key, origin, is_said, is_all = ahead.pop()
        inner = place[key]
        if isinstance(inner, str):
            if inner and (is_said or is_all):
                yield _Said(path, place, key, origin, key == "arguments" and not is_all)
        elif isinstance(inner, list):
            spots = (_Spot((*path, at), inner, at, origin, is_said, is_all) for at in range(len(inner)))
            ahead += list(spots)[::-1]
        elif isinstance(inner, dict):
            if is_all or path[-1] in _ALL_SAID:
                more = [_Spot((*path, at), inner, at, origin, True, True) for at in inner]
            else:
                more = list(_members(inner, origin, path))
            ahead += more[::-1]


def _members(value: dict[str, Any], origin: Origin, path: Path) -> Iterator[_Spot]:
    for key, inner in value.items():
        if key == "file_data" and isinstance(inner, str):
            if (place := words_of_file(value)) is not None:
                yield _Spot((*path, key), place, key, origin, True)
        elif key not in _SPEECHLESS:
            whose = Origin.TOOL if key in _FROM_TOOLS else origin
            yield _Spot((*path, key), value, key, whose, key in _WORDS)


def _slots(texts: Iterable[_Said]) -> Iterator[Slot]:
    return (Slot.at(said.place, said.key, said.origin, said.is_json) for said in texts)


def _instructions(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    if isinstance(holder[name], str):
        yield Slot.at(holder, name, Origin.APPLICATION)


def _input(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    if isinstance(holder[name], str):
        yield Slot.at(holder, name, Origin.USER)
    for item in _objects(holder[name]):
        yield from _slots(_item(item))


def _tools(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    for tool in _objects(holder[name]):
        yield from _slots(_walk(tool, Origin.APPLICATION, ()))


def _variables(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    """What is put into a prompt that is kept elsewhere."""
    prompt = holder[name]
    variables = prompt.get("variables") if isinstance(prompt, dict) else None
    for key, value in variables.items() if isinstance(variables, dict) else ():
        if isinstance(value, str):
            yield Slot.at(variables, key, Origin.USER)
        elif isinstance(value, dict):
            yield from _slots(_walk(value, Origin.USER, ()))


_READERS: Mapping[str, Callable[[dict[str, Any], str], Iterator[Slot]]] = {
    "instructions": _instructions,
    "input": _input,
    "tools": _tools,
    "prompt": _variables,
}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
