"""Amazon's answer: a message whole, or the events in which it grows."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hive_testing.simulator import model, prompt, signatures, text, tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.converse import reasoning
from hive_testing.simulator.endpoint import Conversation
from hive_testing.simulator.model import Choice
from hive_testing.simulator.reply import Counts, Event, Reply, encode, own_usage
from hive_testing.simulator.tools import ToolCall

REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "context": "model_context_window_exceeded",
}
LATENCY_MS = 100
PADDING = "abcdefghijklmnopqrstuvwxyz"  # Amazon pads its events, so that their sizes tell nothing
Piece = tuple[dict[str, Any], int]


def answer(request: Conversation, behaviour: Behaviour, number: int) -> Reply:
    """The whole answer; raises `InvalidRequest`."""
    rendering, reply = _prepared(request, behaviour, number)
    reply.body = encode(rendering.whole(), behaviour.extra)
    return reply


def stream(request: Conversation, behaviour: Behaviour, number: int) -> Reply:
    """The answer as events."""
    rendering, reply = _prepared(request, behaviour, number)
    reply.events = list(rendering.events())
    return reply


def count(request: Conversation, behaviour: Behaviour, number: int) -> Reply:
    """How many tokens the prompt has: an answer that costs nothing."""
    counted = {"inputTokens": prompt.count(request.asked.messages)}
    return Reply(0, 0, None, encode(counted, behaviour.extra))


def _prepared(request: Conversation, behaviour: Behaviour, number: int) -> tuple[Rendering, Reply]:
    choice = model.choice(request.asked, behaviour, number)
    counts = model.counts(request.asked, [choice], behaviour)
    thinks = bool(reasoning.config(request.fields)) or behaviour.thinking_unasked
    return Rendering(behaviour, choice, counts, thinks), Reply(
        counts.prompt, counts.completion, choice.tokens
    )


@dataclass(slots=True)
class Rendering:
    """How one answer is written. thinks: and shows it."""

    behaviour: Behaviour
    choice: Choice
    counts: Counts
    thinks: bool

    def whole(self) -> dict[str, Any]:
        """The plain answer."""
        content = [block for block, _ in self._blocks()]
        usage = {} if self.behaviour.no_usage else {"usage": self._usage()}
        return {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": self._reason(),
            **usage,
            "metrics": {"latencyMs": LATENCY_MS},
        }

    def events(self) -> Iterator[Event]:
        """The role, the blocks one after the other, the reason for the end, and last the usage."""
        hidden = 0 if self.thinks else tokens.count(self.choice.reasoning)
        yield self._event("messageStart", {"role": "assistant"}, hidden)
        for index, (block, pieces) in enumerate(self._blocks()):
            place = {"contentBlockIndex": index}
            if "toolUse" in block:
                start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
                cost = tokens.count(start["name"])
                yield self._event("contentBlockStart", {"start": {"toolUse": start}, **place}, cost)
            for delta, cost in pieces:
                yield self._event("contentBlockDelta", {"delta": delta, **place}, cost)
            yield self._event("contentBlockStop", place)
        if not self.behaviour.no_finish:
            yield self._event("messageStop", {"stopReason": self._reason()})
        if not self.behaviour.no_usage:
            metrics = {"metrics": {"latencyMs": LATENCY_MS}}
            yield self._event("metadata", {"usage": self._usage(), **metrics}, None)

    def _blocks(self) -> Iterator[tuple[dict[str, Any], list[Piece]]]:
        """Every block, whole, and the deltas in which it comes with the tokens of each."""
        if self.thinks:
            yield from self._thoughts()
        if said := self.choice.content or self.choice.refusal:
            yield {"text": said}, [({"text": piece}, cost) for piece, cost in self._pieces(said)]
        for call in self.choice.calls:
            deltas = [({"toolUse": {"input": token}}, 1) for token in tokens.split(call.arguments)]
            yield _use(call), deltas

    def _thoughts(self) -> Iterator[tuple[dict[str, Any], list[Piece]]]:
        if self.behaviour.redacted_thinking:
            made = signatures.made(reasoning.REDACTED, self.behaviour.thoughts)
            redacted = {"redactedContent": base64.b64encode(made.encode()).decode()}
            yield {"reasoningContent": redacted}, [({"reasoningContent": redacted}, 0)]
        if thought := self.choice.reasoning:
            signature = {"signature": signatures.made(reasoning.SIGNATURE, thought)}
            deltas = [({"reasoningContent": {"text": piece}}, cost) for piece, cost in self._pieces(thought)]
            sealed = {"reasoningContent": {"reasoningText": {"text": thought, **signature}}}
            yield sealed, [*deltas, ({"reasoningContent": signature}, 0)]

    def _pieces(self, said: str) -> list[tuple[str, int]]:
        return [(piece, end - first) for piece, first, end in text.pieces(said, self.behaviour)]

    def _reason(self) -> str:
        if self.choice.refusal and not self.behaviour.finish_reason:
            return "content_filtered"
        return (
            "stop_sequence" if self.choice.sequence else REASONS.get(self.choice.finish, self.choice.finish)
        )

    def _usage(self) -> dict[str, Any]:
        counts = self.counts
        written = {"5m": counts.written_5m, "1h": counts.written_1h}
        usage: dict[str, Any] = {
            "inputTokens": counts.fresh,
            "outputTokens": counts.completion,
            "totalTokens": counts.prompt + counts.completion,
            "cacheReadInputTokens": counts.cached,
            "cacheWriteInputTokens": sum(written.values()),
        }
        if details := [{"ttl": ttl, "inputTokens": count} for ttl, count in written.items() if count]:
            usage["cacheDetails"] = details
        return {**usage, **own_usage(self.behaviour)}

    def _event(self, name: str, fields: dict[str, Any], cost: int | None = 0) -> Event:
        padded = {**fields, "p": PADDING[: 1 + len(str(fields)) % len(PADDING)]}
        return Event(encode(padded, self.behaviour.extra), cost, name)


def _use(call: ToolCall) -> dict[str, Any]:
    identifier = f"tooluse_{call.id.removeprefix(model.CALL_PREFIX)}"
    return {"toolUse": {"toolUseId": identifier, "name": call.name, "input": call.decoded}}
