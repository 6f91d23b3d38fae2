"""Google's paths, which name the model and what is done with it, and the form in which its streams are an array."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs

from hive_relay.asgi import Message, Send
from hive_routing.dialects.gemini.arrays import ArrayStream
from hive_routing.request import Target

VERBS = {"generateContent": False, "streamGenerateContent": True}
"""Of a model, and whether they stream."""
_PREFIXES = ("/v1beta/", "/v1/", "/")


class Named(NamedTuple):
    """as_array: the stream is one JSON array, and no server-sent events."""

    target: Target
    as_array: bool


def find(path: str, query: bytes) -> Named | None:
    """What a path asks of a model; None where it asks no content to be generated."""
    rest = next(path[len(prefix) :] for prefix in _PREFIXES if path.startswith(prefix))
    head, _, verb = rest.rpartition(":")
    if head.startswith("models/"):
        model: str | None = head.removeprefix("models/")
    else:
        head, model, verb = "", None, rest
    if verb not in VERBS:
        return None
    sse = parse_qs(query.decode("latin-1")).get("alt") == ["sse"]
    streams = VERBS[verb] or (model is None and sse)
    return Named(Target(model, streams), streams and model is not None and not sse)


def as_array(send: Send) -> Send:
    """Sends a stream on as an array of the same objects; errors and whole answers as they are."""
    array: ArrayStream | None = None

    async def converted(message: Message) -> None:
        nonlocal array
        if message["type"] == "http.response.start":
            headers = message["headers"]
            if any(name == b"content-type" and b"event-stream" in value for name, value in headers):
                array = ArrayStream()
                kept = [each for each in headers if each[0] != b"content-type"]
                message = {**message, "headers": [(b"content-type", b"application/json"), *kept]}
        elif array is not None:
            body = array.feed(message.get("body", b""))
            if not message.get("more_body"):
                body += array.end()
            message = {**message, "body": body}
        await send(message)

    return converted
