"""GenerateContentResponse as Google sends it: a whole answer, or a frame of a stream."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.form import Refusal, Stop
from hive_routing.dialects.gemini.logprobs import Logprobs
from hive_routing.dialects.gemini.usages import Figures


class Content(msgspec.Struct):
    parts: list[Any] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None
    logprobs_result: Logprobs | None = None

    @property
    def parts(self) -> list[Any]:
        return (self.content.parts if self.content is not None else None) or []

    def refusal(self, stop: Stop | None) -> list[Refusal]:
        """Why nothing more was said, where a filter ended it with words."""
        return [Refusal(self.finish_message)] if stop is Stop.FILTERED and self.finish_message else []


class Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class Response(msgspec.Struct, rename="camel"):
    """error: instead of everything else."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: Figures | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None

    @property
    def is_blocked(self) -> bool:
        """What was asked was not let through to the model."""
        return (
            not self.candidates
            and self.prompt_feedback is not None
            and bool(self.prompt_feedback.block_reason)
        )


decode = msgspec.json.Decoder(Response).decode
