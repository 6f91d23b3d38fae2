"""Made-up bodies of Google's two APIs whose words are marked, and whether guards get to see all of them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import Raw

from hive_routing.dialects.encoded import is_text
from hive_routing.dialects.form import Media, Prompt, Result
from hive_routing.dialects.port import Dialect

WORDS = st.integers(0, 999).map("w{}w".format)
OBJECTS = st.dictionaries(
    st.sampled_from(["a", "text", "id", "type", "name"]),
    st.recursive(
        WORDS | st.integers(0, 9) | st.none(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
ENCODED = WORDS.map(lambda word: base64.b64encode(word.encode()).decode())

_MARKED = re.compile(r"w\d+w")


def one_or_more(each: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return each | st.lists(each, max_size=3)


def fields_of(body: Any) -> dict[str, Raw]:
    return msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw])


def told(dialect: Dialect, body: Any) -> set[str]:
    """The words that the prompt has, wherever."""
    prompt = dialect.read_prompt(fields_of(body))
    found = set(_MARKED.findall(msgspec.json.encode([prompt.turns, prompt.tools]).decode()))
    return found.union(*[_MARKED.findall(text) for text in _documents(prompt)])


def seen(dialect: Dialect, body: Any) -> set[str]:
    """The words that guards see."""
    documents = dialect.prompt_texts(fields_of(body)).values()
    return {word for document in documents for slot in document.slots for word in _MARKED.findall(slot.text)}


def _documents(prompt: Prompt) -> Iterator[str]:
    for turn in prompt.turns:
        for part in turn.parts:
            for each in part.parts if isinstance(part, Result) else [part]:
                if isinstance(each, Media) and each.data is not None and is_text(each.mime):
                    yield base64.b64decode(each.data).decode()
