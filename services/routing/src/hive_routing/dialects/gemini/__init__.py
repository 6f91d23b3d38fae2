"""Google's generateContent: of Gemini at AI Studio and at Vertex, and of their clients.

Neither the model nor the sign for a stream stand in its bodies: they are in the path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from hive_routing.dialects.form import Answer, Prompt
from hive_routing.dialects.gemini import answers, prompts, texts
from hive_routing.dialects.gemini.reader import GeminiReader
from hive_routing.dialects.gemini.seals import NAME
from hive_routing.dialects.gemini.writer import GeminiWriter
from hive_routing.dialects.places import Place
from hive_routing.dialects.port import Dialect, Reader, Writer


class _Gemini:
    name = NAME

    def read_prompt(self, fields: Mapping[str, Raw]) -> Prompt:
        return prompts.read_prompt(fields)

    def write_prompt(self, prompt: Prompt) -> dict[str, Any]:
        return prompts.write_prompt(prompt)

    def read_answer(self, body: bytes) -> Answer:
        return answers.read_answer(body)

    def write_answer(self, answer: Answer, prompt: Prompt) -> bytes:
        return answers.write_answer(answer, prompt)

    def reader(self) -> Reader:
        return GeminiReader()

    def writer(self, prompt: Prompt) -> Writer:
        return GeminiWriter(prompt)

    def prompt_texts(self, fields: Mapping[str, Raw]) -> Mapping[str, Any]:
        return texts.prompt_texts(fields)

    def answer_texts(self, value: Any) -> Iterator[Any]:
        return texts.answer_texts(value)

    def event_texts(self, value: Any) -> Iterator[Place]:
        return texts.event_texts(value)


dialect: Dialect = _Gemini()
