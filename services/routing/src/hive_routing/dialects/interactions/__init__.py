"""Google's Interactions API, which only clients speak here."""

from __future__ import annotations

from hive_routing.dialects.interactions import answers, prompts, texts
from hive_routing.dialects.interactions.contents import NAME
from hive_routing.dialects.interactions.reader import InteractionsReader
from hive_routing.dialects.interactions.writer import InteractionsWriter
from hive_routing.dialects.port import Codec, Dialect

dialect: Dialect = Codec(
    name=NAME,
    read_prompt=prompts.read_prompt,
    write_prompt=prompts.write_prompt,
    read_answer=answers.read_answer,
    write_answer=answers.write_answer,
    reader=InteractionsReader,
    writer=InteractionsWriter,
    prompt_texts=texts.prompt_texts,
    answer_texts=texts.answer_texts,
    event_texts=texts.event_texts,
)
