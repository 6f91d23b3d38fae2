"""Amazon's Converse: one way to ask all models behind Bedrock.

A stream is Amazon's own framing on the wire; here it is server-sent events, as the provider hands it on.
"""

from __future__ import annotations

from hive_routing.dialects.converse import answers, prompt_reading, prompt_writing, texts
from hive_routing.dialects.converse.parts import NAME
from hive_routing.dialects.converse.stream_reading import StreamReader
from hive_routing.dialects.converse.stream_writing import StreamWriter
from hive_routing.dialects.port import Codec, Dialect

dialect: Dialect = Codec(
    name=NAME,
    read_prompt=prompt_reading.read_prompt,
    write_prompt=prompt_writing.write_prompt,
    read_answer=answers.read_answer,
    write_answer=answers.write_answer,
    reader=StreamReader,
    writer=lambda prompt: StreamWriter(),
    prompt_texts=texts.prompt_texts,
    answer_texts=texts.answer_texts,
    event_texts=texts.event_texts,
)
