"""A response as an object: what was asked for, how it ended, and the items that the model gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hive_testing.simulator import logprobs, signatures, tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.model import CALL_PREFIX, Asked, Choice
from hive_testing.simulator.reply import CREATED, Counts, own_usage
from hive_testing.simulator.responses import items, rules
from hive_testing.simulator.tools import ToolCall

# What the request says, or OpenAI's own choice.
ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
# By finish reason in chat's words: the status, and why it is not complete.
ENDS: dict[str, tuple[str, str | None]] = {
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "failed": ("failed", None),
}
FAILURE = {"code": "server_error", "message": "The simulator was told to fail."}


@dataclass(slots=True)
class Response:
    """What one answer is made of."""

    asked: Asked
    fields: dict[str, Any]
    behaviour: Behaviour
    number: int
    choice: Choice
    counts: Counts

    @property
    def status(self) -> str:
        """How it ends."""
        return ENDS.get(self.choice.finish, ("completed", None))[0]

    def whole(self) -> dict[str, Any]:
        """The finished response."""
        ended = self.object(self.status, self.output())
        reason = ENDS.get(self.choice.finish, ("", None))[1]
        ended["incomplete_details"] = {"reason": reason} if reason else None
        ended["error"] = FAILURE if self.status == "failed" else None
        ended["completed_at"] = CREATED if self.status == "completed" else None
        return ended if self.behaviour.no_usage else {**ended, "usage": self._usage()}

    def object(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        """The response as far as it has come."""
        given = {name: self.fields.get(name, usual) for name, usual in ECHOED.items()}
        given["service_tier"] = (
            "default" if given["service_tier"] in (None, "auto") else given["service_tier"]
        )
        return {
            "id": f"resp_sim{self.number}",
            "object": "response",
            "created_at": CREATED,
            "completed_at": None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.fields["model"],
            "output": output,
            "reasoning": {"effort": None, "summary": None, **(self.fields.get("reasoning") or {})},
            "text": {"format": {"type": "text"}, "verbosity": "medium", **(self.fields.get("text") or {})},
            "usage": None,
            **given,
        }

    def output(self) -> list[dict[str, Any]]:
        """The finished items."""
        reasoning = [self.reasoning()] if self.choice.reasoning else []
        says = bool(self.choice.content or self.choice.refusal or not self.choice.calls)
        calls = [self.call(place, call) for place, call in enumerate(self.choice.calls)]
        return [*reasoning, *([self.message()] if says else []), *calls]

    def reasoning(self) -> dict[str, Any]:
        """What it thought: as a summary and encrypted, each where it is asked for."""
        thought = self.choice.reasoning
        shown = (self.fields.get("reasoning") or {}).get("summary") or self.behaviour.thinking_unasked
        item = {
            "id": f"rs_sim{self.number}{self._kept}",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": thought}] if shown else [],
        }
        if "reasoning.encrypted_content" in (self.fields.get("include") or ()):
            item["encrypted_content"] = signatures.made(rules.ENCRYPTED, thought)
        return item

    def message(self) -> dict[str, Any]:
        """What it said."""
        return {
            "id": f"msg_sim{self.number}{self._kept}",
            "type": "message",
            "status": "incomplete" if self.status == "incomplete" else "completed",
            "role": "assistant",
            "content": [self.part()],
        }

    def part(self) -> dict[str, Any]:
        """The only part of the message."""
        if self.choice.refusal:
            return {"type": "refusal", "refusal": self.choice.refusal}
        said = self.choice.content or ""
        scores = self.logprobs(0, tokens.count(said))
        return {"type": "output_text", "text": said, "annotations": [], "logprobs": scores}

    def logprobs(self, first: int, end: int) -> list[dict[str, Any]]:
        """How certain these tokens of the text are, where that is asked for."""
        if not self.asked.logprobs:
            return []
        said = tokens.split(self.choice.content or "")[first:end]
        scores: list[dict[str, Any]] = logprobs.of_chat(said, self.asked.top_logprobs or 0)["content"]
        return scores

    def call(self, place: int, call: ToolCall) -> dict[str, Any]:
        """A call of a tool."""
        kind, prefix = ("function_call", "fc") if call.kind == "function" else ("custom_tool_call", "ctc")
        reasoned = items.REASONED if self.choice.reasoning else ""
        return {
            "id": f"{prefix}_{call.id.removeprefix(CALL_PREFIX)}{reasoned}",
            "type": kind,
            "status": "incomplete" if self.status == "incomplete" else "completed",
            call.payload: call.arguments,
            "call_id": call.id,
            "name": call.name,
        }

    @property
    def _kept(self) -> str:
        return items.UNKEPT if self.fields.get("store") is False else ""

    def _usage(self) -> dict[str, Any]:
        counts = self.counts
        written = counts.written_5m + counts.written_1h
        return {
            "input_tokens": counts.prompt,
            "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": written},
            "output_tokens": counts.completion,
            "output_tokens_details": {"reasoning_tokens": counts.reasoning},
            "total_tokens": counts.prompt + counts.completion,
            **own_usage(self.behaviour),
        }
