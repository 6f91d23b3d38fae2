"""Google's answer: candidates whole, or the pieces of a stream, each a response of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from hive_testing.simulator import logprobs, model, prompt, signatures, text, tokens, tools
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.endpoint import Conversation
from hive_testing.simulator.gemini import thoughts
from hive_testing.simulator.gemini.parts import SIGNATURE, SIGNED, Part, signed_text
from hive_testing.simulator.model import Choice
from hive_testing.simulator.reply import Counts, Event, Reply, encode, own_usage
from hive_testing.simulator.tools import ToolCall

REASONS = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
}
REFUSED = "PROHIBITED_CONTENT"


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


def stream_array(request: Conversation, behaviour: Behaviour, number: int) -> Reply:
    """The answer as the elements of one array."""
    reply = stream(request, behaviour, number)
    events = reply.events or []
    marks = [b"[", *[b",\r\n"] * len(events)]
    reply.events = [Event(mark + each.data, each.tokens) for mark, each in zip(marks, events, strict=False)]
    if not behaviour.no_done:
        reply.events.append(Event(b"]", None))
    return reply


def count(request: Conversation, behaviour: Behaviour, number: int) -> Reply:
    """How many tokens the prompt has: an answer that costs nothing."""
    counted = prompt.count(request.asked.messages)
    details = [{"modality": "TEXT", "tokenCount": counted}]
    return Reply(
        0, 0, None, encode({"totalTokens": counted, "promptTokensDetails": details}, behaviour.extra)
    )


def _prepared(request: Conversation, behaviour: Behaviour, number: int) -> tuple[Rendering, Reply]:
    choices = model.choices(request.asked, behaviour, number)
    counts = model.counts(request.asked, choices, behaviour)
    reply = Reply(counts.prompt, counts.completion, sum(each.tokens for each in choices))
    thinking = (request.fields.get("generationConfig") or {}).get("thinkingConfig") or {}
    shows = bool(thinking.get("includeThoughts") or behaviour.thinking_unasked)
    signs = thoughts.signs_always(request.model)
    generation = request.fields.get("generationConfig") or {}
    top = (generation.get("logprobs") or 0) if generation.get("responseLogprobs") else None
    return Rendering(request.model, behaviour, number, choices, counts, shows, signs, top), reply


@dataclass(slots=True)
class Rendering:
    """How one answer is written. shows: thoughts; signs: calls, although nothing was thought.

    top: how many tokens are told in the place of each; None: how certain they are is not asked for.
    """

    model: str
    behaviour: Behaviour
    number: int
    choices: list[Choice]
    counts: Counts
    shows: bool
    signs: bool
    top: int | None = None

    def whole(self) -> dict[str, Any]:
        """The plain answer."""
        candidates = []
        for choice in self.choices:
            parts = [*self._thought(choice), *self._said(choice), *self._calls(choice)]
            candidates.append(self._candidate(choice, parts, ends=True) | self._scores(choice.content or ""))
        return self._response(candidates, self.counts.completion)

    def events(self) -> Iterator[Event]:
        """The candidates' pieces in turn, then why each of them ended."""
        spent = 0
        for row in zip_longest(*(self._pieces(choice) for choice in self.choices)):
            for choice, piece in zip(self.choices, row, strict=True):
                if piece:
                    part, cost = piece
                    spent += cost
                    said = "" if part.get("thought") else part.get("text", "")
                    candidate = self._candidate(choice, [part]) | self._scores(said)
                    yield self._event([candidate], spent, cost)
        if self.behaviour.no_finish:
            return
        for choice in self.choices:
            last = self._candidate(choice, self._last(choice), ends=True)
            yield self._event([last], self.counts.completion, tokens.count(choice.refusal))

    def _pieces(self, choice: Choice) -> Iterator[tuple[Part, int]]:
        """Every part of the stream with its tokens; those of hidden thoughts come with the first."""
        hidden = 0 if self.shows else tokens.count(choice.reasoning)
        for part, cost in self._shown(choice):
            yield part, cost + hidden
            hidden = 0
        if hidden:
            yield {"text": ""}, hidden

    def _shown(self, choice: Choice) -> Iterator[tuple[Part, int]]:
        for piece, first, end in text.pieces(choice.reasoning if self.shows else "", self.behaviour):
            yield {"text": piece, "thought": True}, end - first
        for piece, first, end in text.pieces(choice.content or "", self.behaviour):
            yield {"text": piece}, end - first
        for call, part in zip(choice.calls, self._calls(choice), strict=True):
            yield part, tools.count([call])

    def _thought(self, choice: Choice) -> list[Part]:
        return [{"text": choice.reasoning, "thought": True}] if choice.reasoning and self.shows else []

    def _said(self, choice: Choice) -> list[Part]:
        return [{"text": choice.content, **self._seal(choice)}] if choice.content else []

    def _last(self, choice: Choice) -> list[Part]:
        """What comes with the end of a stream: an empty text, which has the signature of what was said."""
        return [{"text": "", **self._seal(choice)}] if not choice.calls and not choice.refusal else []

    def _seal(self, choice: Choice) -> dict[str, Any]:
        """The signature of a text; where there are calls, the first of them has it."""
        if not choice.reasoning or choice.calls:
            return {}
        return {"thoughtSignature": signatures.made(SIGNATURE, choice.reasoning)}

    def _calls(self, choice: Choice) -> list[Part]:
        """Of calls that are made at once the first one is signed."""
        signs = bool(choice.reasoning) or self.signs
        return [self._call(call, signs and place == 0) for place, call in enumerate(choice.calls)]

    def _call(self, call: ToolCall, signs: bool) -> Part:
        made: dict[str, Any] = {"name": call.name, "args": call.decoded}
        seal = {"thoughtSignature": signatures.made(SIGNATURE, signed_text(made))} if signs else {}
        if self.behaviour.call_ids:
            made["id"] = f"{call.id}{SIGNED}" if signs else call.id
        return {"functionCall": made, **seal}

    def _candidate(self, choice: Choice, parts: list[Part], ends: bool = False) -> dict[str, Any]:
        content = {"content": {"role": "model", "parts": parts}} if parts else {}
        candidate = {**content, "index": choice.index}
        if not ends:
            return candidate
        if choice.refusal and not self.behaviour.finish_reason:
            return {**candidate, "finishReason": REFUSED, "finishMessage": choice.refusal}
        return {**candidate, "finishReason": REASONS.get(choice.finish, choice.finish)}

    def _scores(self, said: str) -> dict[str, Any]:
        """How certain the tokens of a text are, where that is asked for."""
        if self.top is None or not said:
            return {}
        return {"logprobsResult": logprobs.of_gemini(tokens.split(said), self.top)}

    def _event(self, candidates: list[dict[str, Any]], spent: int, cost: int) -> Event:
        return Event(encode(self._response(candidates, spent), self.behaviour.extra), cost)

    def _response(self, candidates: list[dict[str, Any]], spent: int) -> dict[str, Any]:
        usage = {} if self.behaviour.no_usage else {"usageMetadata": self._usage(spent)}
        return {
            "candidates": candidates,
            **usage,
            "modelVersion": self.model,
            "responseId": f"sim{self.number}",
        }

    def _usage(self, spent: int) -> dict[str, Any]:
        """The tokens so far; thoughts are counted beside what is said."""
        counts = self.counts
        thought = min(counts.reasoning, spent)
        usage: dict[str, Any] = {
            "promptTokenCount": counts.prompt,
            "totalTokenCount": counts.prompt + spent,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.prompt}],
        }
        if spent - thought:
            usage["candidatesTokenCount"] = spent - thought
        if thought:
            usage["thoughtsTokenCount"] = thought
        if counts.cached:
            usage["cachedContentTokenCount"] = counts.cached
            usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": counts.cached}]
        return {**usage, **own_usage(self.behaviour)}
