"""The calls of one choice of a stream, told apart although providers differ in how they name them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hive_routing.dialects.chat.answers import new_call_id
from hive_routing.dialects.chat.spoken import NAME, ToolCall, signature, source_of
from hive_routing.dialects.form import Call, Opaque, Seal
from hive_routing.dialects.seals import unsealed_id


@dataclass(slots=True, eq=False)
class Growing:
    """number: as a part; None until it is opened. held: of its arguments, what came before that."""

    id: str
    seal: Seal | None = None
    name: str = ""
    number: int | None = None
    held: list[str] = field(default_factory=list)
    inputs: list[str] | None = None
    """Of a tool that takes no JSON."""

    def add(self, call: ToolCall) -> tuple[str, Seal | None]:
        """Notes what the piece says of it; gives what it adds to the arguments, and its seal where it tells that."""
        if call.custom is not None:
            self.name = self.name or str(call.custom.get("name") or "")
            if self.inputs is None:
                self.inputs = []
            self.inputs.append(str(call.custom.get("input") or ""))
        function = call.function
        if function is None:
            return "", signature(call.extra_content)
        self.name = self.name or function.name or ""
        piece = "" if function.arguments is None else source_of(function.arguments)
        return piece, signature(call.extra_content)

    def part(self) -> Call | Opaque:
        """It as a part, without arguments."""
        if self.inputs is None:
            return Call(self.id, self.name, seal=self.seal)
        custom: dict[str, Any] = {"name": self.name, "input": "".join(self.inputs)}
        return Opaque(NAME, "custom", {"id": self.id, "type": "custom", "custom": custom})


class Calls:
    """In the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[Growing] = []
        self._by_index: dict[int, Growing] = {}
        self._by_id: dict[str, Growing] = {}

    def __iter__(self) -> Iterator[Growing]:
        return iter(self._calls)

    def find(self, call: ToolCall) -> Growing:
        """The call that a piece belongs to.

        OpenAI gives each an index. Some providers leave it out, or give 0 to all: then a new id begins a new call, and
        so does a name. Others make up a new id for each piece: where no name comes with it, it means nothing.
        """
        named = bool(call.function and call.function.name)
        if call.index is not None:
            known = self._by_index.get(call.index)
            is_other = known is not None and named and call.id and call.id not in self._by_id
            return self._begin(call) if known is None or is_other else known
        if call.id and call.id in self._by_id:
            return self._by_id[call.id]
        return self._begin(call) if call.id or named or not self._calls else self._calls[-1]

    def older(self, call: ToolCall) -> Growing:
        """Of the older kind there is one."""
        return self._by_index.get(-1) or self._begin(call, -1)

    def _begin(self, call: ToolCall, index: int | None = None) -> Growing:
        id, seal = unsealed_id(call.id) if call.id else (new_call_id(), None)
        growing = Growing(id, seal)
        self._calls.append(growing)
        place = call.index if index is None else index
        if place is not None:
            self._by_index[place] = growing
        if call.id:
            self._by_id[call.id] = growing
        return growing
