"""OpenAI's chat completions: what most clients speak, and most providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from hive_routing.dialects.chat import answers, texts
from hive_routing.dialects.chat.prompts_in import read_prompt
from hive_routing.dialects.chat.prompts_out import write_prompt
from hive_routing.dialects.chat.reader import ChatReader
from hive_routing.dialects.chat.spoken import NAME
from hive_routing.dialects.chat.writer import ChatWriter
from hive_routing.dialects.form import Answer, Prompt
from hive_routing.dialects.places import Document, Place, Slot
from hive_runtime.clock import Clock, SystemClock


class Chat:
    """The dialect. clock: says when an answer was made that does not say it."""

    name = NAME

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def read_prompt(self, fields: Mapping[str, Raw]) -> Prompt:
        return read_prompt(fields)

    def write_prompt(self, prompt: Prompt) -> dict[str, Any]:
        return write_prompt(prompt)

    def read_answer(self, body: bytes) -> Answer:
        return answers.read_answer(body)

    def write_answer(self, answer: Answer, prompt: Prompt) -> bytes:
        return answers.write_answer(answer, prompt, int(self._clock.now()))

    def reader(self) -> ChatReader:
        return ChatReader()

    def writer(self, prompt: Prompt) -> ChatWriter:
        return ChatWriter(prompt, int(self._clock.now()))

    def prompt_texts(self, fields: Mapping[str, Raw]) -> Mapping[str, Document]:
        return texts.prompt_texts(fields)

    def answer_texts(self, value: Any) -> Iterator[Slot]:
        return texts.answer_texts(value)

    def event_texts(self, value: Any) -> Iterator[Place]:
        return texts.event_texts(value)


dialect = Chat()
