"""Google's generateContent: of Gemini at AI Studio and at Vertex, and of their clients.

Neither the model nor the sign for a stream stand in its bodies: they are in the path.
"""

from __future__ import annotations

from hive_routing.dialects.gemini import answers, prompts, texts
from hive_routing.dialects.gemini.reader import GeminiReader
from hive_routing.dialects.gemini.seals import NAME
from hive_routing.dialects.gemini.writer import GeminiWriter
from hive_routing.dialects.port import Codec, Dialect

dialect: Dialect = Codec(
    name=NAME,
    read_prompt=prompts.read_prompt,
    write_prompt=prompts.write_prompt,
    read_answer=answers.read_answer,
    write_answer=answers.write_answer,
    reader=GeminiReader,
    writer=GeminiWriter,
    prompt_texts=texts.prompt_texts,
    answer_texts=texts.answer_texts,
    event_texts=texts.event_texts,
)
