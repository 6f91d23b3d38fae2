"""The dialect as the port wants it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from hive_routing.dialects.form import Answer, Prompt
from hive_routing.dialects.places import Document, Place, Slot
from hive_routing.dialects.responses.answers import read_answer, write_answer
from hive_routing.dialects.responses.ids import NewId, random_id
from hive_routing.dialects.responses.parts import NAME
from hive_routing.dialects.responses.prompt_reading import read_prompt
from hive_routing.dialects.responses.prompt_writing import write_prompt
from hive_routing.dialects.responses.stream_reading import StreamReader
from hive_routing.dialects.responses.stream_writing import StreamWriter
from hive_routing.dialects.responses.texts import answer_texts, event_texts, prompt_texts
from hive_runtime.clock import Clock, SystemClock


class Responses:
    name = NAME

    def __init__(self, new_id: NewId = random_id, clock: Clock | None = None) -> None:
        """new_id: where the ids of what is written come from. clock: tells when something was answered."""
        self.new_id = new_id
        self.clock = clock or SystemClock()

    def read_prompt(self, fields: Mapping[str, Raw]) -> Prompt:
        return read_prompt(fields)

    def write_prompt(self, prompt: Prompt) -> dict[str, Any]:
        return write_prompt(prompt)

    def read_answer(self, body: bytes) -> Answer:
        return read_answer(body)

    def write_answer(self, answer: Answer, prompt: Prompt) -> bytes:
        return write_answer(answer, prompt, self.new_id, int(self.clock.now()))

    def reader(self) -> StreamReader:
        return StreamReader()

    def writer(self, prompt: Prompt, *, id: str = "", extra: Mapping[str, Any] | None = None) -> StreamWriter:
        """id: of the response, where it is known before. extra: as `response_object` takes it."""
        return StreamWriter(prompt, id=id, extra=extra, new_id=self.new_id, clock=self.clock)

    def prompt_texts(self, fields: Mapping[str, Raw]) -> Mapping[str, Document]:
        return prompt_texts(fields)

    def answer_texts(self, value: Any) -> Iterator[Slot]:
        return answer_texts(value)

    def event_texts(self, value: Any) -> Iterator[Place]:
        return event_texts(value)
