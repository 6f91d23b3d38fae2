"""The answer to a request for a response: the response whole, or the events in which it grows."""

from __future__ import annotations

from hive_testing.simulator import model, prompt
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.endpoint import Conversation
from hive_testing.simulator.reply import Reply, encode
from hive_testing.simulator.responses.response import Response
from hive_testing.simulator.responses.stream import Stream


def answer(request: Conversation, behaviour: Behaviour, number: int) -> Reply:
    """The answer; raises `InvalidRequest`."""
    choice = model.choice(request.asked, behaviour, number)
    counts = model.counts(request.asked, [choice], behaviour)
    reply = Reply(counts.prompt, counts.completion, choice.tokens)
    response = Response(request.asked, request.fields, behaviour, number, choice, counts)
    if request.asked.stream:
        reply.events = list(Stream(response).events())
    else:
        reply.body = encode(response.whole(), behaviour.extra)
    return reply


def count(request: Conversation, behaviour: Behaviour, number: int) -> Reply:
    """How many tokens the input has: an answer that costs nothing."""
    counted = {"object": "response.input_tokens", "input_tokens": prompt.count(request.asked.messages)}
    return Reply(0, 0, None, encode(counted, behaviour.extra))
