"""What a model answered, written as output items.

`Opaque` parts of another dialect and media other than images are left out: they come only from a provider's own
tools, which nobody can ask for in this dialect, and would be no item that a client can read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hive_routing.dialects.form import Call, Choice, Media, Opaque, Part, Refusal, Seal, Stop, Text, Thinking
from hive_routing.dialects.responses.ids import NewId
from hive_routing.dialects.responses.parts import NAME, Item
from hive_routing.dialects.seals import packed, sealed_id

INCOMPLETE = {
    Stop.LENGTH: "max_output_tokens",
    Stop.CONTEXT: "max_output_tokens",
    Stop.PAUSED: "max_output_tokens",
    Stop.FILTERED: "content_filter",
}
"""Why a response is not complete, in the words of this dialect; all others are."""


def write_output(choice: Choice, new_id: NewId) -> list[Item]:
    """Texts that follow each other share a message; the last item is as complete as the answer is."""
    items: list[Item] = []
    logprobs = logprobs_of(choice.logprobs)
    for part in choice.parts:
        if isinstance(part, Text | Refusal):
            if not items or items[-1]["type"] != "message":
                items.append(message(new_id("msg")))
            items[-1]["content"].append(content_part(part, logprobs))
            logprobs = [] if isinstance(part, Text) else logprobs
            if isinstance(part, Text) and part.seal is not None:
                items.append(seal_item(part.seal, new_id))
        elif (item := write_item(part, new_id)) is not None:
            items.append(item)
    if items and choice.stop in INCOMPLETE and items[-1]["type"] in ("message", "function_call"):
        items[-1] = items[-1] | {"status": "incomplete"}
    return items


def write_item(part: Part, new_id: NewId) -> Item | None:
    """The item of a part that is one of its own; None for what is left out."""
    match part:
        case Call():
            return call_item(part, new_id)
        case Thinking():
            return reasoning_item(part, new_id)
        case Media(kind="image") if part.data is not None:
            return image_item(part, new_id)
        case Opaque(origin, _, value) if origin == NAME:
            own: Item = value
            return own
        case _:
            return None


def message(id: str, status: str = "completed") -> Item:
    return {"type": "message", "id": id, "status": status, "role": "assistant", "content": []}


def content_part(part: Text | Refusal, logprobs: Sequence[Any] = ()) -> Item:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": [*logprobs]}


def call_item(call: Call, new_id: NewId) -> Item:
    """A seal, for which a call has no place here, travels in its id."""
    return {
        "type": "function_call",
        "id": new_id("fc"),
        "call_id": call.id if call.seal is None else sealed_id(call.id, call.seal),
        "name": call.name,
        "arguments": call.arguments,
        "status": "completed",
    }


def is_told_as_summary(thinking: Thinking) -> bool:
    """So is all that did not come from an item of OpenAI's: few clients keep `content`, and a seal needs its words."""
    return thinking.is_summary or thinking.id is None


def reasoning_item(thinking: Thinking, new_id: NewId) -> Item:
    """Raw thoughts are its `content`; what a provider made of them for people to read is its `summary`."""
    item: Item = {"type": "reasoning", "id": thinking.id or new_id("rs"), "summary": []}
    if thinking.text and is_told_as_summary(thinking):
        item["summary"] = [{"type": "summary_text", "text": thinking.text}]
    elif thinking.text:
        item["content"] = [{"type": "reasoning_text", "text": thinking.text}]
    if thinking.seal is not None:
        item["encrypted_content"] = packed(thinking.seal, NAME)
    return item


def seal_item(seal: Seal, new_id: NewId) -> Item:
    """What seals the text before it, for which a message has no place."""
    return reasoning_item(Thinking(seal=seal), new_id)


def image_item(image: Media, new_id: NewId) -> Item:
    kind = (image.mime or "image/png").removeprefix("image/")
    head = {"type": "image_generation_call", "id": new_id("ig"), "status": "completed"}
    return head | {"output_format": kind, "result": image.data}


def logprobs_of(value: Any) -> list[Any]:
    """Those of a text, from how chat completions say them."""
    return list(value.get("content") or ()) if isinstance(value, dict) else []
