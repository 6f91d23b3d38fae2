"""POST /v1/chat/completions."""

from __future__ import annotations

import msgspec

from hive_testing.simulator import chat_wire, model, prompt, tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.model import Asked
from hive_testing.simulator.reply import InvalidRequest, Reply, count_usage, sends_usage_chunk

MAX_CHOICES = 128
DECODER = msgspec.json.Decoder(Asked)


def answer(request: Asked, behaviour: Behaviour, number: int) -> Reply:
    """The answer; raises `InvalidRequest`."""
    _check(request)
    choices = model.choices(request, behaviour, number)
    completion = sum(choice.tokens for choice in choices)
    reasoning = sum(tokens.count(choice.reasoning) for choice in choices if choice.reasoning)
    usage = count_usage(prompt.count(request.messages), completion, reasoning, behaviour)
    reply = Reply(usage.prompt_tokens, usage.completion_tokens, expected=completion)
    rendering = chat_wire.Rendering(
        id=f"chatcmpl-sim{number}",
        model=request.model,
        usage=usage,
        behaviour=behaviour,
        top_logprobs=request.top_logprobs or 0 if request.logprobs else None,
        usage_chunk=sends_usage_chunk(request.stream_options, behaviour),
    )
    if request.stream:
        reply.events = rendering.events(choices)
    else:
        reply.body = rendering.body(choices)
    return reply


def _check(request: Asked) -> None:
    if not request.messages:
        raise InvalidRequest("messages must hold at least one message", "messages")
    if request.stream_options and not request.stream:
        raise InvalidRequest("stream_options is only allowed when stream is true", "stream_options")
    if not 1 <= (request.n or 1) <= MAX_CHOICES:
        raise InvalidRequest(f"n must be 1 to {MAX_CHOICES}, not {request.n}", "n")
    if request.limit is not None and request.limit < 1:
        raise InvalidRequest(f"the bound of tokens must be at least 1, not {request.limit}", "max_tokens")
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs to be true", "top_logprobs")
