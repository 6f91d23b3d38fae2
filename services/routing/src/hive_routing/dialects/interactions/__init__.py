"""Google's Interactions API, which only clients speak here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from hive_routing.dialects.form import Answer, Prompt
from hive_routing.dialects.interactions import answers, prompts, texts
from hive_routing.dialects.interactions.contents import NAME
from hive_routing.dialects.interactions.reader import InteractionsReader
from hive_routing.dialects.interactions.writer import InteractionsWriter
from hive_routing.dialects.places import Place
from hive_routing.dialects.port import Dialect, Reader, Writer


class _Interactions:
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
        return InteractionsReader()

    def writer(self, prompt: Prompt) -> Writer:
        return InteractionsWriter(prompt)

    def prompt_texts(self, fields: Mapping[str, Raw]) -> Mapping[str, Any]:
        return texts.prompt_texts(fields)

    def answer_texts(self, value: Any) -> Iterator[Any]:
        return texts.answer_texts(value)

    def event_texts(self, value: Any) -> Iterator[Place]:
        return texts.event_texts(value)


dialect: Dialect = _Interactions()
