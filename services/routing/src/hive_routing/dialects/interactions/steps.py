"""Steps: what was said, thought, called and given, one after the other, read as turns.

A thought without a summary is no thought to be told but the signature of the call that follows it, as Google's own
streams have it: it becomes the seal of that call. Thoughts that have nothing but their own signature are written with
an empty summary.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.form import (
    Call,
    Media,
    Opaque,
    Part,
    Result,
    Role,
    Seal,
    Text,
    Thinking,
    Turn,
)
from hive_routing.dialects.gemini.calls import CallIds
from hive_routing.dialects.gemini.fields import Misfit, Object, listed, optional, present, typed
from hive_routing.dialects.interactions.contents import (
    NAME,
    SIGNATURE,
    is_content,
    read_content,
)
from hive_routing.dialects.seals import unpacked

_ROLES: dict[str, Role] = {"user": "user", "model": "assistant"}


def read_input(value: Any, path: str) -> list[Turn]:
    """A text, contents, steps, turns of the older schema, or a list of any of them. Raises Misfit."""
    reading = StepReading()
    if isinstance(value, str):
        value = [{"type": "text", "text": value}]
    items = listed(value)
    said: Turn | None = None
    for place, item in enumerate(items):
        at = f"{path}[{place}]" if isinstance(value, list) else path
        if is_content(item):  # contents next to each other are said in one breath
            said = said or reading.begin("user")
            reading.add(said, read_content(item, at))
            continue
        said = None
        reading.read(item, at)
    return reading.finish()


class StepReading:
    """Puts steps together to turns."""

    def __init__(self, ids: CallIds | None = None) -> None:
        self._ids = ids or CallIds()
        self._turns: list[Turn] = []
        self._signature: Seal | None = None
        """Of a thought without a summary: whose it is, the next step tells."""

    def finish(self) -> list[Turn]:
        self._settle()
        return [turn for turn in self._turns if turn.parts]

    def read(self, item: Any, path: str) -> None:
        """One step, or one turn of the older schema. Raises Misfit."""
        step = present(item, path)
        if "type" not in step and "role" in step:
            self._read_turn(step, path)
            return
        kind = typed(step.get("type"), str, f"{path}.type")
        if kind != "function_call":
            self._settle()
        match kind:
            case "user_input":
                self._read_contents(self.begin("user"), step.get("content", []), f"{path}.content")
            case "model_output":
                self._read_contents(self._model(), step.get("content", []), f"{path}.content")
            case "thought":
                self._read_thought(step, path)
            case "function_call":
                self._model().parts.append(self._call(step, path))
            case "function_result":
                self._tool().parts.append(read_result(step, path, self._ids))
            case _:
                self._model().parts.append(Opaque(NAME, kind, item))

    def begin(self, role: Role) -> Turn:
        self._settle()
        self._turns.append(Turn(role))
        return self._turns[-1]

    @staticmethod
    def add(turn: Turn, part: Part | None) -> None:
        if part is not None:
            turn.parts.append(part)

    def _read_turn(self, turn: Object, path: str) -> None:
        role = typed(turn["role"], str, f"{path}.role")
        if role not in _ROLES:
            raise Misfit(f"{path}.role", f"Expected `user` or `model`, got `{role}`")
        content = turn.get("content", [])
        begun = self.begin(_ROLES[role])
        for place, each in enumerate(listed(content)):
            at = f"{path}.content[{place}]"
            if isinstance(each, str) or is_content(each):
                self._read_contents(begun, [each], at)
            else:
                self.read(each, at)

    def _read_contents(self, turn: Turn, contents: Any, path: str) -> None:
        for place, each in enumerate(listed(contents)):
            content = {"type": "text", "text": each} if isinstance(each, str) else each
            self.add(turn, read_content(content, f"{path}[{place}]"))

    def _read_thought(self, step: Object, path: str) -> None:
        thinking = read_thought(step, path)
        if isinstance(thinking, Thinking) and "summary" not in step:
            self._signature = thinking.seal
        elif thinking is not None:
            self._model().parts.append(thinking)

    def _call(self, step: Object, path: str) -> Call:
        call = read_call(step, path, self._ids)
        if call.seal is None:
            call.seal, self._signature = self._signature, None
        self._settle()
        return call

    def _settle(self) -> None:
        if self._signature is not None:
            seal, self._signature = self._signature, None
            self._model().parts.append(Thinking("", seal, is_summary=True))

    def _model(self) -> Turn:
        return self._last("assistant")

    def _tool(self) -> Turn:
        return self._last("tool")

    def _last(self, role: Role) -> Turn:
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(Turn(role))
        return self._turns[-1]


def read_thought(step: Object, path: str) -> Thinking | Opaque | None:
    """None for a thought that says nothing. Raises Misfit."""
    signature = optional(step, SIGNATURE, str, path)
    seal = unpacked(signature, NAME, SIGNATURE) if signature else None
    texts = []
    for place, each in enumerate(typed(step.get("summary", []), list[Any], f"{path}.summary")):
        content = present(each, f"{path}.summary[{place}]")
        if content.get("type") != "text":
            return Opaque(NAME, "thought", step)
        texts.append(typed(content.get("text", ""), str, f"{path}.summary[{place}].text"))
    text = "".join(texts)
    return Thinking(text, seal, is_summary=True) if text or seal is not None else None


def read_call(step: Object, path: str, ids: CallIds) -> Call:
    name = typed(step.get("name"), str, f"{path}.name")
    arguments = typed(step.get("arguments", {}), dict[str, Any], f"{path}.arguments")
    signature = optional(step, SIGNATURE, str, path)
    return Call(
        ids.of_call(optional(step, "id", str, path), name),
        name,
        msgspec.json.encode(arguments).decode(),
        seal=unpacked(signature, NAME, SIGNATURE) if signature else None,
    )


def read_result(step: Object, path: str, ids: CallIds) -> Result:
    name = optional(step, "name", str, path)
    call = ids.of_response(optional(step, "call_id", str, path), name or "")
    given = step.get("result", "")
    parts: list[Text | Media | Opaque] = []
    if isinstance(given, list):
        read = [read_content(each, f"{path}.result[{place}]") for place, each in enumerate(given)]
        parts = [part for part in read if part is not None]
    else:
        text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
        parts = [Text(text)] if text else []
    return Result(call, parts, name=name, is_error=optional(step, "is_error", bool, path) or False)
