"""What the upstream answers, as bytes made once; the load generator knows by them what a complete answer is."""

from __future__ import annotations

import json
from typing import Any

ANSWER_BYTES = 800
CHUNKS = 50
HELD_CHUNKS = 1
"""Of a stream that is held open and then ended: that end must not be work for who is measured."""
CHUNK_BYTES = 280
CHUNK_GAP = 0.005
"""Seconds between two chunks of a stream."""

EMBEDDED_TEXTS = 8
EMBEDDED_DIMENSIONS = 256
BATCH_TEXTS = 256
"""Texts in one request of a batch of embeddings."""

CONTENT_MARK = b'"content":"'
"""Once in each chunk that carries content, and once in the answer that is not streamed."""
STREAM_END = b"data: [DONE]"
MESSAGES_MARK = b'"type":"text_delta"'
MESSAGES_END = b'"type":"message_stop"'
"""The same in a stream of Anthropic's messages."""
CHAT_END = b'"completion_tokens":160'
EMBEDDINGS_END = b'"total_tokens":96'
BATCH_END = b'"total_tokens":3072'
TOOL_CALL_ID = "call_bench"
TOOL_CALL_MARK = TOOL_CALL_ID.encode()
"""Stands in the answer that asks for a tool, and in no other."""

_TEXT = "The hive hums while its foragers carry pollen from the lime trees across the valley. " * 10
_USAGE = {"prompt_tokens": 240, "completion_tokens": 160, "total_tokens": 400}


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _response(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _answer(content: str) -> bytes:
    return _completion({"role": "assistant", "content": content, "refusal": None}, "stop")


def _tool_call() -> bytes:
    function = {"name": "weather", "arguments": '{"city":"Oslo","unit":"celsius"}'}
    call = {"id": TOOL_CALL_ID, "type": "function", "function": function}
    return _completion({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls")


def _completion(message: dict[str, Any], finish_reason: str) -> bytes:
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    named = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1_790_000_000}
    return _compact({**named, "model": "bench", "choices": [choice], "usage": _USAGE})


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    named = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_790_000_000}
    return b"data: " + _compact({**named, "model": "bench", "choices": choices, **more}) + b"\n\n"


def _content_event(content: str) -> bytes:
    return _event([{"index": 0, "delta": {"content": content}, "finish_reason": None}])


def _embeddings(texts: int, tokens: int) -> bytes:
    vector = [round(((place * 37) % 199 - 99) / 1000 + 0.00012345, 8) for place in range(EMBEDDED_DIMENSIONS)]
    data = [{"object": "embedding", "index": place, "embedding": vector} for place in range(texts)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _compact({"object": "list", "data": data, "model": "bench", "usage": usage})


def _in_chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


_stop = _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
_usage = _event([], usage=_USAGE)
_done = STREAM_END + b"\n\n"
_stream_head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

CHAT = _response(_answer(_TEXT[: ANSWER_BYTES - len(_answer(""))]))
TOOL_CALL = _response(_tool_call())
EMBEDDINGS = _response(_embeddings(EMBEDDED_TEXTS, 96))
BATCH = _response(_embeddings(BATCH_TEXTS, 3072))
FAILURE = _response(
    _compact({"error": {"message": "The model is overloaded.", "type": "server_error", "code": None}}),
    "503 Service Unavailable",
)
"""What the upstream that fails answers to everything."""
CHUNK = _in_chunk(_content_event(_TEXT[: CHUNK_BYTES - len(_content_event(""))]))
STREAM_START = _stream_head + CHUNK
STREAM_FINISH = _in_chunk(_stop + _done) + b"0\r\n\r\n"
STREAM_FINISH_WITH_USAGE = _in_chunk(_stop + _usage + _done) + b"0\r\n\r\n"
RELEASED = _response(b"{}")
