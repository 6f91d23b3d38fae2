"""Anthropic's rules for thinking, and for what comes back of it. Every function raises `InvalidRequest`."""

from __future__ import annotations

from typing import Any

from hive_testing.simulator import signatures
from hive_testing.simulator.messages.turns import turns
from hive_testing.simulator.reply import InvalidRequest

MIN_BUDGET = 1024
MIN_TOP_P = 0.95
SIGNATURE = "signature"
REDACTED = "redacted"
THOUGHTS = ("thinking", "redacted_thinking")


def is_on(fields: dict[str, Any]) -> bool:
    """Whether the request wants the model to think."""
    wanted: dict[str, Any] = fields.get("thinking") or {"type": "disabled"}
    return str(wanted["type"]) != "disabled"


def check(fields: dict[str, Any]) -> None:
    """What may not be asked of a model that thinks."""
    if not is_on(fields):
        return
    if fields.get("temperature", 1) != 1:
        _refuse("temperature", "`temperature` may only be set to 1 when thinking is enabled.")
    if fields.get("top_p", 1) < MIN_TOP_P:
        _refuse(
            "top_p",
            f"`top_p` must be greater than or equal to {MIN_TOP_P} or unset when thinking is enabled.",
        )
    if "top_k" in fields:
        _refuse("top_k", "`top_k` must be unset when thinking is enabled.")
    if (fields.get("tool_choice") or {}).get("type") in ("any", "tool"):
        _refuse("tool_choice", "Thinking may not be enabled when tool_choice forces tool use.")
    if fields["thinking"]["type"] == "enabled":
        _check_budget(fields["thinking"]["budget_tokens"], fields["max_tokens"])
        _check_last_turn(fields["messages"])


def check_signatures(messages: list[dict[str, Any]]) -> None:
    """Thoughts come back as they were sent, or not at all."""
    for place, message in enumerate(messages):
        for index, block in enumerate(message["content"] if isinstance(message["content"], list) else ()):
            if not _is_genuine(block):
                kind = "signature" if block["type"] == "thinking" else "data"
                path = f"messages.{place}.content.{index}"
                _refuse(path, f"{path}: Invalid `{kind}` in `{block['type']}` block")


def _is_genuine(block: dict[str, Any]) -> bool:
    if block["type"] == "thinking":
        return signatures.fits(SIGNATURE, block["signature"], block["thinking"])
    return block["type"] != "redacted_thinking" or signatures.is_made(REDACTED, block["data"])


def _check_budget(budget: int, max_tokens: int) -> None:
    if budget < MIN_BUDGET:
        path = "thinking.enabled.budget_tokens"
        _refuse(path, f"{path}: Input should be greater than or equal to {MIN_BUDGET}")
    if max_tokens <= budget:
        _refuse("max_tokens", "`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_last_turn(messages: list[dict[str, Any]]) -> None:
    """The assistant's last turn begins with thinking where it calls tools, and may not be begun by the caller."""
    spoken = [turn for turn in turns(messages) if turn.role == "assistant"]
    if messages[-1]["role"] == "assistant":
        _refuse(
            "messages", "messages: a final assistant message cannot be prefilled when thinking is enabled"
        )
    kinds = [block["type"] for block in spoken[-1].blocks] if spoken else []
    if "tool_use" in kinds and kinds[0] not in THOUGHTS:
        path = f"messages.{spoken[-1].place}.content.0.type"
        _refuse(
            path,
            f"{path}: Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`. When `thinking` is "
            "enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of "
            "`tool_use` and `tool_result` blocks). To avoid this requirement, disable `thinking`.",
        )


def _refuse(param: str, message: str) -> None:
    raise InvalidRequest(message, param)
