"""Anthropic's answer: a message of blocks, or the events in which it grows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hive_testing.simulator import model, prompt, signatures, text, tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.endpoint import Conversation
from hive_testing.simulator.messages import thinking
from hive_testing.simulator.model import Choice
from hive_testing.simulator.reply import Counts, Event, Reply, encode, own_usage
from hive_testing.simulator.tools import ToolCall

REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "pause": "pause_turn",
    "context": "model_context_window_exceeded",
}
Piece = tuple[dict[str, Any], int]


def answer(request: Conversation, behaviour: Behaviour, number: int) -> Reply:
    """The answer; raises `InvalidRequest`."""
    choice = model.choice(request.asked, behaviour, number)
    counts = model.counts(request.asked, [choice], behaviour)
    reply = Reply(counts.prompt, counts.completion, choice.tokens)
    rendering = Rendering(request.fields, behaviour, number, choice, counts)
    if request.asked.stream:
        reply.events = list(rendering.events())
    else:
        reply.body = encode(rendering.message(), behaviour.extra)
    return reply


def count(request: Conversation, behaviour: Behaviour, number: int) -> Reply:
    """How many tokens the prompt has: an answer that costs nothing."""
    counted = {"input_tokens": prompt.count(request.asked.messages)}
    return Reply(0, 0, None, encode(counted, behaviour.extra))


@dataclass(slots=True)
class Rendering:
    """How one answer is written."""

    fields: dict[str, Any]
    behaviour: Behaviour
    number: int
    choice: Choice
    counts: Counts

    def message(self) -> dict[str, Any]:
        """The plain answer."""
        blocks = [block for block, _ in self._blocks()]
        return {**self._message(blocks), **self._end(), **self._usage(self._spent(self.counts.completion))}

    def events(self) -> Iterator[Event]:
        """The stream: the message without content, its blocks one after the other, the end, the usage."""
        start = {**self._message([]), **self._usage(self._spent(1))}
        yield self._event("message_start", {"message": start}, 0 if self._thinks else self._hidden)
        for index, (block, pieces) in enumerate(self._blocks()):
            empty, cost = _opening(block)
            yield self._event("content_block_start", {"index": index, "content_block": empty}, cost)
            if index == 0:
                yield self._event("ping", {}, None)
            for delta, count in pieces:
                yield self._event("content_block_delta", {"index": index, "delta": delta}, count)
            yield self._event("content_block_stop", {"index": index})
        if not self.behaviour.no_finish:
            spent = self._usage(self._spent(self.counts.completion))
            yield self._event("message_delta", {"delta": self._end(), **spent})
        if not self.behaviour.no_done:
            yield self._event("message_stop", {}, None)

    @property
    def _hidden(self) -> int:
        """Tokens of thoughts that the stream does not show."""
        return tokens.count(self.choice.reasoning)

    @property
    def _thinks(self) -> bool:
        return thinking.is_on(self.fields) or self.behaviour.thinking_unasked

    def _blocks(self) -> Iterator[tuple[dict[str, Any], list[Piece]]]:
        """Every block, whole, and the deltas in which it comes with the tokens of each."""
        yield from self._thoughts()
        said = self.choice.content or self.choice.refusal
        if said:
            yield {"type": "text", "text": said}, self._pieces("text_delta", "text", said)
        for call in self.choice.calls:
            yield _call(call), _arguments(call)

    def _thoughts(self) -> Iterator[tuple[dict[str, Any], list[Piece]]]:
        if not self._thinks:
            return
        if self.behaviour.redacted_thinking:
            data = signatures.made(thinking.REDACTED, self.behaviour.thoughts)
            yield {"type": "redacted_thinking", "data": data}, []
        thought = self.choice.reasoning
        if not thought:
            return
        pieces = self._pieces("thinking_delta", "thinking", thought)
        if (self.fields.get("thinking") or {}).get("display") == "omitted":
            thought, pieces = "", [({"type": "thinking_delta", "thinking": ""}, tokens.count(thought))]
        signature = signatures.made(thinking.SIGNATURE, thought)
        block = {"type": "thinking", "thinking": thought, "signature": signature}
        yield block, [*pieces, ({"type": "signature_delta", "signature": signature}, 0)]

    def _pieces(self, kind: str, field: str, said: str) -> list[Piece]:
        cut = text.pieces(said, self.behaviour)
        return [({"type": kind, field: piece}, end - first) for piece, first, end in cut]

    def _message(self, blocks: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"msg_sim{self.number}",
            "type": "message",
            "role": "assistant",
            "model": self.fields["model"],
            "content": blocks,
            "stop_reason": None,
            "stop_sequence": None,
        }

    def _end(self) -> dict[str, Any]:
        choice = self.choice
        if choice.refusal and not self.behaviour.finish_reason:
            details = {"type": "refusal", "category": None, "explanation": choice.refusal}
            return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
        reason = "stop_sequence" if choice.sequence else REASONS.get(choice.finish, choice.finish)
        return {"stop_reason": reason, "stop_sequence": choice.sequence, "stop_details": None}

    def _spent(self, output: int) -> dict[str, Any]:
        counts = self.counts
        spent = {
            "input_tokens": counts.fresh,
            "cache_creation_input_tokens": counts.written_5m + counts.written_1h,
            "cache_read_input_tokens": counts.cached,
            "cache_creation": {
                "ephemeral_5m_input_tokens": counts.written_5m,
                "ephemeral_1h_input_tokens": counts.written_1h,
            },
            "output_tokens": output,
            "service_tier": "standard",
        }
        if counts.reasoning and output == counts.completion:
            spent["output_tokens_details"] = {"thinking_tokens": counts.reasoning}
        return {**spent, **own_usage(self.behaviour)}

    def _usage(self, spent: dict[str, Any]) -> dict[str, Any]:
        return {} if self.behaviour.no_usage else {"usage": spent}

    def _event(self, name: str, fields: dict[str, Any], count: int | None = 0) -> Event:
        return Event(encode({"type": name, **fields}, self.behaviour.extra), count, name)


def _opening(block: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The block before it grows, and the tokens that this costs."""
    match block["type"]:
        case "text":
            return {"type": "text", "text": ""}, 0
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}, 0
        case "tool_use":
            return {**block, "input": {}}, tokens.count(block["name"])
    return block, 0


def _call(call: ToolCall) -> dict[str, Any]:
    identifier = f"toolu_{call.id.removeprefix(model.CALL_PREFIX)}"
    return {"type": "tool_use", "id": identifier, "name": call.name, "input": call.decoded}


def _arguments(call: ToolCall) -> list[Piece]:
    """Nothing first, as the real one does, then token by token."""
    parts = [("", 0), *((token, 1) for token in tokens.split(call.arguments))]
    return [({"type": "input_json_delta", "partial_json": part}, count) for part, count in parts]
