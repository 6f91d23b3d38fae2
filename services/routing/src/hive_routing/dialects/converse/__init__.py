"""Amazon's Converse: one way to ask all models behind Bedrock.

A stream is Amazon's own framing on the wire; here it is server-sent events, as the provider hands it on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from hive_routing.dialects.converse import answers, prompt_reading, prompt_writing, texts
from hive_routing.dialects.converse.parts import NAME
from hive_routing.dialects.converse.stream_reading import StreamReader
from hive_routing.dialects.converse.stream_writing import StreamWriter
from hive_routing.dialects.form import Answer, Prompt
from hive_routing.dialects.places import Place
from hive_routing.dialects.port import Dialect, Reader, Writer


class Converse:
    """The dialect; it has no state."""

    name = NAME

    def read_prompt(self, fields: Mapping[str, Raw]) -> Prompt:
        return prompt_reading.read_prompt(fields)

    def write_prompt(self, prompt: Prompt) -> dict[str, Any]:
        return prompt_writing.write_prompt(prompt)

    def read_answer(self, body: bytes) -> Answer:
        return answers.read_answer(body)

    def write_answer(self, answer: Answer, prompt: Prompt) -> bytes:
        return answers.write_answer(answer, prompt)

    def reader(self) -> Reader:
        return StreamReader()

    def writer(self, prompt: Prompt) -> Writer:
        return StreamWriter()

    def prompt_texts(self, fields: Mapping[str, Raw]) -> Mapping[str, Any]:
        return texts.prompt_texts(fields)

    def answer_texts(self, value: Any) -> Iterator[Any]:
        return texts.answer_texts(value)

    def event_texts(self, value: Any) -> Iterator[Place]:
        return texts.event_texts(value)


dialect: Dialect = Converse()
