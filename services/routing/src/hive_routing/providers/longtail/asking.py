"""What the library is asked: the members of a chat as its arguments."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hive_runtime.errors import HiveError, Kind

_PASSED: Final = frozenset({
    "messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "temperature",
    "top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "stop", "n",
})  # fmt: skip
"""Those that the library knows. More are no arguments of its own: they would steer it, as `extra_headers` does."""
_BOUNDS: Final = ("max_completion_tokens", "max_tokens")
_HINTS: Final = frozenset({
    "model", "stream", "stream_options", "user", "store", "metadata", "service_tier", "safety_identifier",
    "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "prediction",
})  # fmt: skip
"""Said in another way, or nothing that changes an answer: many of the library's providers would refuse it."""
_USUAL: Final[dict[str, Any]] = {
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "tools": [],
    "verbosity": "medium",
    "modalities": ["text"],
}
"""What holds without the member. It is left out, for providers that have no such member."""

Arguments = dict[str, Any]


def arguments(body: bytes, stream: bool) -> Arguments:
    """Of one call, but for the model. Raises HiveError `invalid` for a member that has no place."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise HiveError(Kind.INVALID, "The body is no JSON object.") from None
    found: Arguments = {}
    for name, value in fields.items():
        if value is None or name in _HINTS or name in _BOUNDS or (name in _USUAL and value == _USUAL[name]):
            continue
        if name not in _PASSED:
            message = f"`{name}` cannot be passed on to this provider: leave it out."
            raise HiveError(Kind.INVALID, message, name)
        found[name] = value
    if bounds := [fields[name] for name in _BOUNDS if fields.get(name) is not None]:
        found["max_tokens"] = min(bounds)  # all its providers know this one, some of them no other
    if stream:
        found["stream"] = True
        found["stream_options"] = {"include_usage": True}
    return found
