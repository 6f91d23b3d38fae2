"""What the load generator sends: requests of a fixed size, each with a body that was never sent before."""

from __future__ import annotations

import base64
import itertools
import json
import random
import secrets
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from benchmarks import answers

SMALL_BYTES = 1024
LARGE_BYTES = 100 * 1024
IMAGE_BYTES = 1024 * 1024
VARIANTS = 64
"""Different texts per kind of request; a number in each makes every body unique."""
IMAGE_VARIANTS = 4

_UNIQUE = "@@@@@@@@@@@@@@@@"
_KEY = "%%key%%"
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
    REDACTED = "redacted"
    """A chat from which a guard takes out what identifies persons."""
    JUDGED = "judged"
    """A chat whose prompt and answer the dearest guard reads."""
    IMAGE = "image"
    """A chat with an image of 1 MB in it."""
    TOOLS = "tools"
    """Two turns of an agent with one tool; the exchange is both."""
    TOOL_RESULT = "tool_result"
    """The second of these turns."""
    BATCH = "batch"
    """Embeddings of many texts."""
    FAILOVER = "failover"
    """A chat with a model of which one of two deployments fails."""
    TRANSLATED = "translated"
    """The same stream for a client of Anthropic's messages: the upstream speaks chat completions."""

    @property
    def path(self) -> str:
        return _PATHS.get(self, "/v1/chat/completions")

    @property
    def streamed(self) -> bool:
        return self in (Kind.STREAM, Kind.HOLD, Kind.GUARDED, Kind.TRANSLATED)


_PATHS = {
    Kind.EMBEDDINGS: "/v1/embeddings",
    Kind.BATCH: "/v1/embeddings",
    Kind.TRANSLATED: "/v1/messages",
}
_MODELS = {
    Kind.HOLD: "bench-hold",
    Kind.FAILOVER: "bench-failover",
    Kind.EMBEDDINGS: "bench-embed",
    Kind.BATCH: "bench-batch",
}
_TEXTS = {Kind.EMBEDDINGS: answers.EMBEDDED_TEXTS, Kind.BATCH: answers.BATCH_TEXTS}
_GUARDS = {Kind.GUARDED: "toxicity", Kind.JUDGED: "toxicity", Kind.REDACTED: "pii"}
_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}


class Form(msgspec.Struct, frozen=True):
    """What a gateway wants to have in a request beside what every gateway gets."""

    headers: dict[str, str] = {}
    members: dict[str, Any] = {}
    """Further members of the body."""
    model_prefix: str = ""


PLAIN = Form()


def requests(kind: Kind, port: int, *keys: str, form: Form = PLAIN) -> Iterator[bytes]:
    """HTTP requests without end, ready to be written to a connection; the keys are used in turn."""
    mark = secrets.token_hex(4)
    one = keys[0] if len(keys) == 1 else _KEY
    turns = itertools.cycle([each.encode() for each in keys])
    prepared = itertools.cycle(_prepare(kind, port, one, form))
    for number, parts in enumerate(prepared):
        unique = "0" * len(_UNIQUE) if kind is Kind.HIT else f"{mark}{number:08x}"
        request = unique.encode().join(parts)
        yield request if len(keys) == 1 else request.replace(_KEY.encode(), next(turns), 1)


def _prepare(kind: Kind, port: int, key: str, form: Form) -> list[list[bytes]]:
    """Whole requests, cut where the unique number goes."""
    words = random.Random(kind)
    made = (
        _body(kind, words, form.model_prefix)
        for _ in range(IMAGE_VARIANTS if kind is Kind.IMAGE else VARIANTS)
    )
    bodies = [_compact({**body, **form.members}) for body in made]
    return [
        (_head(kind, port, key, len(body), form.headers) + body).split(_UNIQUE.encode()) for body in bodies
    ]


def _head(kind: Kind, port: int, key: str, length: int, headers: Mapping[str, str]) -> bytes:
    lines = (
        f"POST {kind.path} HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        "accept: application/json",
        "user-agent: modelhive-benchmarks",
        f"content-length: {length}",
        *((f"x-hive-guard: {_GUARDS[kind]}",) if kind in _GUARDS else ()),
        *(f"{name}: {value}" for name, value in headers.items()),
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _body(kind: Kind, words: random.Random, model_prefix: str) -> dict[str, Any]:
    model = model_prefix + _MODELS.get(kind, "bench-model")
    if kind in _TEXTS:
        texts = [f"{_UNIQUE} {words.choice(_SENTENCES)}" for _ in range(_TEXTS[kind])]
        return {"model": model, "input": texts}
    size = LARGE_BYTES if kind is Kind.LARGE else SMALL_BYTES
    return _chat(kind, model, _text(words, size - len(_compact(_chat(kind, model, "")))), words)


def _chat(kind: Kind, model: str, text: str, words: random.Random | None = None) -> dict[str, Any]:
    """A chat about `text`; what is bigger than a text in it is made of `words`, and left out without."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are a helpful assistant. Answer briefly."},
        {"role": "user", "content": f"{_UNIQUE} {text}"},
    ]
    body: dict[str, Any] = {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 400}
    if kind is Kind.TRANSLATED:
        body |= {"system": messages[0]["content"], "messages": messages[1:]}
    if kind in (Kind.TOOLS, Kind.TOOL_RESULT):
        body["tools"] = [_TOOL]
    if kind is Kind.TOOL_RESULT:
        function = {"name": "weather", "arguments": '{"city":"Oslo","unit":"celsius"}'}
        call = {"id": answers.TOOL_CALL_ID, "type": "function", "function": function}
        result = {"role": "tool", "tool_call_id": answers.TOOL_CALL_ID, "content": '{"celsius":-3}'}
        messages += [{"role": "assistant", "content": None, "tool_calls": [call]}, result]
    if kind is Kind.REDACTED:
        messages[1]["content"] += " Write to jane.miller@example.com."
    if kind is Kind.IMAGE and words:
        image = base64.b64encode(words.randbytes(IMAGE_BYTES * 3 // 4)).decode()
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
        messages[1]["content"] = [{"type": "text", "text": messages[1]["content"]}, part]
    return {**body, "stream": True} if kind.streamed else body


def _text(words: random.Random, size: int) -> str:
    """Sentences in a random order, `size` characters of them."""
    chosen = ""
    while len(chosen) < size:
        chosen += " ".join(words.sample(_SENTENCES, len(_SENTENCES))) + " "
    return chosen[:size]


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
