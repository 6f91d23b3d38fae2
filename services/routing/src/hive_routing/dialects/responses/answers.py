"""Whole answers: the response object of a provider read, and one written for a client."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.form import Answer, Call, Choice, Part, Prompt, Stop
from hive_routing.dialects.responses.ids import NewId
from hive_routing.dialects.responses.items import read_output
from hive_routing.dialects.responses.parts import Item
from hive_routing.dialects.responses.response import response_object
from hive_routing.dialects.responses.usages import read_usage

_STOPS = {"max_output_tokens": Stop.LENGTH, "content_filter": Stop.FILTERED, "steered": Stop.PAUSED}


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    """What is read of a response object."""

    id: str = ""
    model: str = ""
    created_at: float | None = None
    status: str | None = None
    output: list[dict[str, Any]] | None = None
    usage: Any = None
    error: Any = None
    incomplete_details: _Incomplete | None = None

    @property
    def created(self) -> int:
        return int(self.created_at or 0)

    def stop(self, *, has_calls: bool) -> Stop:
        """Why the answer ended. has_calls: of tools that the caller has to run."""
        if self.status == "incomplete":
            reason = self.incomplete_details.reason if self.incomplete_details is not None else None
            return _STOPS.get(reason or "", Stop.LENGTH)
        return Stop.TOOLS if has_calls else Stop.END


_decode = msgspec.json.Decoder(Response).decode


def read_answer(body: bytes) -> Answer:
    """Raises msgspec.DecodeError where it is none, also for a response that failed."""
    response = _decode(body)
    if response.output is None or response.status in ("failed", "cancelled"):
        raise msgspec.ValidationError(f"no answer: the response is {response.status}, {response.error}")
    parts: list[Part] = [part for item in response.output for part in read_output(item)]
    stop = response.stop(has_calls=any(isinstance(part, Call) for part in parts))
    choice = Choice(parts, stop, logprobs=_logprobs(response.output))
    return Answer(response.id, response.model, response.created, [choice], read_usage(response.usage))


def write_answer(answer: Answer, prompt: Prompt, new_id: NewId, now: int) -> bytes:
    response = response_object(
        prompt,
        answer,
        id=own_id(answer.id, new_id),
        created_at=answer.created or now,
        completed_at=max(now, answer.created),
        new_id=new_id,
    )
    return msgspec.json.encode(response)


def own_id(id: str, new_id: NewId) -> str:
    """The id of a response; that of an answer in another dialect is no name for one."""
    return id if id.startswith("resp_") else new_id("resp")


def _logprobs(output: list[Item]) -> Any:
    """As chat completions say them; None where there are none."""
    contents = (item.get("content") for item in output if item.get("type") == "message")
    parts = (part for content in contents if isinstance(content, list) for part in content)
    listed = (part.get("logprobs") for part in parts if isinstance(part, dict))
    said = [token for tokens in listed if isinstance(tokens, list) for token in tokens]
    return {"content": said, "refusal": []} if said else None
