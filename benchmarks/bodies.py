"""What the load generator sends: requests of a fixed size, each with a body that was never sent before."""

from __future__ import annotations

import itertools
import json
import random
import secrets
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from benchmarks import answers

SMALL_BYTES = 1024
LARGE_BYTES = 100 * 1024
VARIANTS = 64
"""Different texts per kind of request; a number in each makes every body unique."""

_UNIQUE = "@@@@@@@@@@@@@@@@"
_SENTENCES = (
    "The bees left the hive shortly after sunrise.",
    "We moved the report to the shared folder and told the accounting team.",
    "Please compare the two offers and say which one is cheaper over three years.",
    "A bakery near the station sells rye bread on Thursdays.",
    "The pump failed twice in March, both times during heavy rain.",
    "Our customers mostly ask about delivery times and returns.",
    "In the second chapter the captain finds an old map.",
    "Water boils at a lower temperature in the mountains.",
    "The new timetable gives commuters eleven more minutes in the evening.",
    "She planted lavender along the southern wall and it grew well.",
    "Sales in the northern region rose by four percent last quarter.",
    "The committee will meet again when the figures are complete.",
    "Could you write this paragraph in a friendlier tone?",
    "The museum keeps its oldest maps in a dark and dry room.",
    "A short summary in five points would be enough for the meeting.",
    "Their ferry was late because of the fog over the bay.",
)


class Kind(StrEnum):
    """What is asked for."""

    CHAT = "chat"
    LARGE = "large"
    STREAM = "stream"
    HOLD = "hold"
    EMBEDDINGS = "embeddings"
    HIT = "hit"
    """A chat whose answer is in the cache: few different bodies, again and again."""
    GUARDED = "guarded"
    """A stream whose output a guard reads."""
    TRANSLATED = "translated"
    """The same stream for a client of Anthropic's messages: the upstream speaks chat completions."""

    @property
    def path(self) -> str:
        return _PATHS.get(self, "/v1/chat/completions")

    @property
    def streamed(self) -> bool:
        return self in (Kind.STREAM, Kind.HOLD, Kind.GUARDED, Kind.TRANSLATED)


_PATHS = {Kind.EMBEDDINGS: "/v1/embeddings", Kind.TRANSLATED: "/v1/messages"}


def requests(kind: Kind, port: int, key: str) -> Iterator[bytes]:
    """HTTP requests without end, ready to be written to a connection."""
    mark = secrets.token_hex(4)
    prepared = itertools.cycle(_prepare(kind, port, key))
    for number, parts in enumerate(prepared):
        unique = "0" * len(_UNIQUE) if kind is Kind.HIT else f"{mark}{number:08x}"
        yield unique.encode().join(parts)


def _prepare(kind: Kind, port: int, key: str) -> list[list[bytes]]:
    """Whole requests, cut where the unique number goes."""
    words = random.Random(kind)
    bodies = [_body(kind, words) for _ in range(VARIANTS)]
    return [(_head(kind, port, key, len(body)) + body).split(_UNIQUE.encode()) for body in bodies]


def _head(kind: Kind, port: int, key: str, length: int) -> bytes:
    lines = (
        f"POST {kind.path} HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        "accept: application/json",
        "user-agent: modelhive-benchmarks",
        f"content-length: {length}",
        *(("x-hive-guard: toxicity",) if kind is Kind.GUARDED else ()),
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _body(kind: Kind, words: random.Random) -> bytes:
    if kind is Kind.EMBEDDINGS:
        texts = [f"{_UNIQUE} {words.choice(_SENTENCES)}" for _ in range(answers.EMBEDDED_TEXTS)]
        return _compact({"model": "bench-embed", "input": texts})
    size = LARGE_BYTES if kind is Kind.LARGE else SMALL_BYTES
    return _chat(kind, _text(words, size - len(_chat(kind, ""))))


def _chat(kind: Kind, text: str) -> bytes:
    messages = [
        {"role": "system", "content": "You are a helpful assistant. Answer briefly."},
        {"role": "user", "content": f"{_UNIQUE} {text}"},
    ]
    model = "bench-hold" if kind is Kind.HOLD else "bench-model"
    body: dict[str, Any] = {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 400}
    if kind is Kind.TRANSLATED:
        body |= {"system": messages[0]["content"], "messages": messages[1:]}
    return _compact({**body, "stream": True} if kind.streamed else body)


def _text(words: random.Random, size: int) -> str:
    """Sentences in a random order, `size` characters of them."""
    chosen = ""
    while len(chosen) < size:
        chosen += " ".join(words.sample(_SENTENCES, len(_SENTENCES))) + " "
    return chosen[:size]


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
