"""The response object: what was answered, together with what was asked.

The settings are told as the form has them. `instructions` are the first words of the application, wherever the
client said them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hive_routing.dialects.form import Answer, Choice, Prompt, Stop
from hive_routing.dialects.responses.ids import NewId, random_id
from hive_routing.dialects.responses.output import INCOMPLETE, write_output
from hive_routing.dialects.responses.parts import NAME, Item
from hive_routing.dialects.responses.prompt_writing import effort_of, parted, write_text
from hive_routing.dialects.responses.tools import write_choice, write_tools
from hive_routing.dialects.responses.usages import write_usage

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

SERVER_ERROR = "server_error"
_CODES = frozenset(
    {
        SERVER_ERROR,
        "rate_limit_exceeded",
        "invalid_prompt",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    }
)
"""What a client's SDK knows as the `code` of a failed response."""
_ECHOED = ("prompt_cache_key", "prompt_cache_retention", "safety_identifier")
"""Told only where they were said."""


def response_object(
    prompt: Prompt,
    answer: Answer | None = None,
    *,
    id: str,
    created_at: int,
    status: Status | None = None,
    completed_at: int | None = None,
    error: Item | None = None,
    extra: Mapping[str, Any] | None = None,
    new_id: NewId = random_id,
) -> Item:
    """A whole response, ready to be encoded.

    answer: None as long as there is none. status: of the response; by default as the answer ended. error:
    `failure(code, message)` where it failed. created_at, completed_at: Unix seconds. extra: members that stand
    instead of what the prompt says, such as `previous_response_id`, `conversation` (an object), `background`, `store`.
    """
    choice = answer.choices[0] if answer is not None and answer.choices else Choice()
    status = status or ended(choice.stop)
    reason = INCOMPLETE.get(choice.stop) if status == "incomplete" else None
    response = {
        "id": id,
        "object": "response",
        "created_at": created_at,
        "completed_at": completed_at if status == "completed" else None,
        "status": status,
        "error": error,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": (answer.model if answer is not None else "") or prompt.model,
        "output": write_output(choice, new_id),
        "usage": write_usage(answer.usage) if answer is not None and answer.usage is not None else None,
    }
    return response | _settings(prompt) | dict(extra or {})


def ended(stop: Stop) -> Status:
    """The status of a response whose answer ended like this."""
    return "incomplete" if stop in INCOMPLETE else "completed"


def failure(code: str | None, message: str) -> Item:
    """The `error` of a failed response; a code that SDKs do not know is `server_error` to them."""
    return {"code": code if code in _CODES else SERVER_ERROR, "message": message}


def _settings(prompt: Prompt) -> Item:
    """The members that say what was asked."""
    rest, sampling = prompt.rest, prompt.sampling
    instructions, _ = parted(prompt.turns)
    conversation = rest.get("conversation")
    text = {"format": {"type": "text"}, "verbosity": "medium"} | write_text(prompt)
    settings = {
        "background": bool(rest.get("background")),
        "conversation": {"id": conversation} if isinstance(conversation, str) else conversation,
        "instructions": instructions,
        "max_output_tokens": prompt.max_output,
        "max_tool_calls": rest.get("max_tool_calls"),
        "metadata": prompt.metadata or {},
        "parallel_tool_calls": prompt.choice.parallel is not False,
        "previous_response_id": rest.get("previous_response_id"),
        "reasoning": {"effort": effort_of(prompt), "summary": prompt.reasoning.summary},
        "service_tier": "default" if prompt.tier in (None, "auto") else prompt.tier,
        "store": rest.get("store", True),
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "text": text | rest.get("text", {}),
        "tool_choice": rest.get("tool_choice") or write_choice(prompt.choice) or "auto",
        "tools": write_tools(prompt.tools, is_own=prompt.dialect == NAME),
        "top_logprobs": sampling.top_logprobs or 0,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "truncation": rest.get("truncation", "disabled"),
        "user": prompt.user,
    }
    return settings | {name: rest[name] for name in _ECHOED if name in rest}
