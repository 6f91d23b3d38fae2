"""Anthropic's messages, as clients send them and as its provider and others take them."""

from __future__ import annotations

from hive_routing.dialects.messages import answers, prompt_reading, prompt_writing, texts
from hive_routing.dialects.messages.parts import NAME
from hive_routing.dialects.messages.stream_reading import MessagesReader
from hive_routing.dialects.messages.stream_writing import MessagesWriter
from hive_routing.dialects.port import Codec, Dialect

dialect: Dialect = Codec(
    name=NAME,
    read_prompt=prompt_reading.read_prompt,
    write_prompt=prompt_writing.write_prompt,
    read_answer=answers.read_answer,
    write_answer=answers.write_answer,
    reader=MessagesReader,
    writer=MessagesWriter,
    prompt_texts=texts.prompt_texts,
    answer_texts=texts.answer_texts,
    event_texts=texts.event_texts,
)
