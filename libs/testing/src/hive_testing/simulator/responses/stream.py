"""A response as the events in which it grows, numbered from 0."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from hive_testing.simulator import text, tokens
from hive_testing.simulator.reply import Event, encode
from hive_testing.simulator.responses.response import Response


class Stream:
    """The stream of one response."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._numbers = count()

    def events(self) -> Iterator[Event]:
        """Created, in progress, its items one after the other, and how it ended."""
        response = self._response
        for name in ("created", "in_progress"):
            yield self._event(f"response.{name}", response=response.object("in_progress", []))
        for index, item in enumerate(response.output()):
            yield from self._item(index, item)
        if not response.behaviour.no_finish:
            yield self._event(f"response.{response.status}", response=response.whole())

    def _item(self, index: int, item: dict[str, Any]) -> Iterator[Event]:
        place = {"item_id": item["id"], "output_index": index}
        cost = tokens.count(item["name"]) if "name" in item else 0
        if item["type"] == "reasoning" and not item["summary"]:
            cost = tokens.count(self._response.choice.reasoning)
        yield self._event("response.output_item.added", cost, output_index=index, item=_begun(item))
        match item["type"]:
            case "reasoning":
                yield from self._summary(place, item)
            case "message":
                yield from self._message(place, item["content"][0])
            case kind:
                yield from self._call(place, kind, item)
        yield self._event("response.output_item.done", output_index=index, item=item)

    def _summary(self, place: dict[str, Any], item: dict[str, Any]) -> Iterator[Event]:
        thought = self._response.choice.reasoning
        place = {**place, "summary_index": 0}
        for part in item["summary"]:
            empty = {"type": "summary_text", "text": ""}
            yield self._event("response.reasoning_summary_part.added", **place, part=empty)
            for piece, first, end in text.pieces(thought, self._response.behaviour):
                name = "response.reasoning_summary_text.delta"
                yield self._event(name, end - first, **place, delta=piece)
            yield self._event("response.reasoning_summary_text.done", **place, text=thought)
            yield self._event("response.reasoning_summary_part.done", **place, part=part)

    def _message(self, place: dict[str, Any], part: dict[str, Any]) -> Iterator[Event]:
        """The part begins, grows and ends."""
        field = "text" if part["type"] == "output_text" else "refusal"
        name = f"response.{part['type']}"
        place = {**place, "content_index": 0}
        scored = field == "text"
        yield self._event("response.content_part.added", **place, part={**part, **_empty(part)})
        for piece, first, end in text.pieces(part[field], self._response.behaviour):
            scores: dict[str, Any] = {"logprobs": self._response.logprobs(first, end)} if scored else {}
            yield self._event(f"{name}.delta", end - first, **place, delta=piece, **scores)
        scores = {"logprobs": part["logprobs"]} if scored else {}
        yield self._event(f"{name}.done", **place, **{field: part[field]}, **scores)
        yield self._event("response.content_part.done", **place, part=part)

    def _call(self, place: dict[str, Any], kind: str, item: dict[str, Any]) -> Iterator[Event]:
        is_function = kind == "function_call"
        name = "response.function_call_arguments" if is_function else "response.custom_tool_call_input"
        payload = "arguments" if is_function else "input"
        for token in tokens.split(item[payload]):
            yield self._event(f"{name}.delta", 1, **place, delta=token)
        named = {"name": item["name"]} if is_function else {}
        yield self._event(f"{name}.done", **place, **{payload: item[payload]}, **named)

    def _event(self, kind: str, cost: int = 0, /, **fields: Any) -> Event:
        numbered = {"type": kind, "sequence_number": next(self._numbers), **fields}
        return Event(encode(numbered, self._response.behaviour.extra), cost, kind)


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """The item before it grows."""
    match item["type"]:
        case "reasoning":
            return {**item, "summary": []}
        case "message":
            return {**item, "status": "in_progress", "content": []}
    return {**item, "status": "in_progress", **{name: "" for name in ("arguments", "input") if name in item}}


def _empty(part: dict[str, Any]) -> dict[str, Any]:
    return {"refusal": ""} if part["type"] == "refusal" else {"text": "", "logprobs": []}
