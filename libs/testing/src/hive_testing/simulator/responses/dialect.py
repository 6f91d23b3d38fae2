"""How OpenAI's responses are answered: named events, and errors in streams that are events like the others."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_testing.simulator.dialect import Dialect
from hive_testing.simulator.reply import Event


class Responses(Dialect):
    def error_event(self, status: int, error: Any, place: int) -> Event:
        words = {name: error.get(name) for name in ("code", "message", "param")}
        words["code"] = words["code"] or error.get("type")
        fields = {"type": "error", **words, "sequence_number": place}
        return Event(msgspec.json.encode(fields), None, "error")


RESPONSES = Responses()
