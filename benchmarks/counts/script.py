"""The fixed script: what is sent, the same bytes at every run but for a number that makes a body new."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.processes import KEY

_TEXT = (
    "The bees left the hive shortly after sunrise. The pump failed twice in March, both times during heavy rain. "
    "Please compare the two offers and say which one is cheaper over three years. "
)
_SYSTEM = {"role": "system", "content": "You are a helpful assistant. Answer briefly."}
_SMALL, _LARGE = 800, 100 * 1024
_TEXTS = 8

Body = Callable[[int], dict[str, Any]]
"""The body that is the n-th of its kind."""


def _chat(size: int, **more: Any) -> Body:
    text = (_TEXT * (size // len(_TEXT) + 1))[:size]

    def body(number: int) -> dict[str, Any]:
        messages = [_SYSTEM, {"role": "user", "content": f"{number:08} {text}"}]
        return {"model": "bench-model", "messages": messages, "temperature": 0.2, "max_tokens": 400, **more}

    return body


def _embeddings(number: int) -> dict[str, Any]:
    texts = [f"{number:08} {place} {_TEXT[:60]}" for place in range(_TEXTS)]
    return {"model": "bench-embed", "input": texts}


_small = _chat(_SMALL)
SCRIPT: dict[str, tuple[str, Body]] = {
    "chat": ("/v1/chat/completions", _small),
    "hit": ("/v1/chat/completions", lambda number: _small(0)),
    "stream": ("/v1/chat/completions", _chat(_SMALL, stream=True)),
    "embeddings": ("/v1/embeddings", _embeddings),
    "large": ("/v1/chat/completions", _chat(_LARGE)),
}
"""Path and body of each scenario: a small chat; the same again and again; a stream; 8 texts; a prompt of 100 KB."""


def request(scenario: str, number: int) -> bytes:
    """The n-th HTTP request of a scenario; numbers start with 1."""
    path, body = SCRIPT[scenario]
    content = json.dumps(body(number), separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1",
        "host: gateway",
        f"authorization: Bearer {KEY}",
        "content-type: application/json",
        f"content-length: {len(content)}",
    )
    return ("\r\n".join(head) + "\r\n\r\n").encode() + content
