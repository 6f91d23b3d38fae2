"""Anthropic's messages, as clients send them and as its provider and others take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from hive_routing.dialects.form import Answer, Prompt
from hive_routing.dialects.messages import answers, prompt_reading, prompt_writing, texts
from hive_routing.dialects.messages.parts import NAME
from hive_routing.dialects.messages.stream_reading import MessagesReader
from hive_routing.dialects.messages.stream_writing import MessagesWriter
from hive_routing.dialects.places import Place
from hive_routing.dialects.port import Dialect, Reader, Writer


class _Messages:
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
        return MessagesReader()

    def writer(self, prompt: Prompt) -> Writer:
        return MessagesWriter(prompt)

    def prompt_texts(self, fields: Mapping[str, Raw]) -> Mapping[str, Any]:
        return texts.prompt_texts(fields)

    def answer_texts(self, value: Any) -> Iterator[Any]:
        return texts.answer_texts(value)

    def event_texts(self, value: Any) -> Iterator[Place]:
        return texts.event_texts(value)


dialect: Dialect = _Messages()
