"""Amazon's rules for reasoning, which are those of the models behind it. All raise `InvalidRequest`."""

from __future__ import annotations

import base64
from typing import Any

from hive_testing.simulator import signatures
from hive_testing.simulator.reply import InvalidRequest

SIGNATURE = "signature"
REDACTED = "redacted"
MIN_BUDGET = 1024
# Where the models' own fields ask for it: Anthropic's, the older name of the same, Amazon's own.
SWITCHES = ("thinking", "reasoning_config", "reasoningConfig")


def config(fields: dict[str, Any]) -> dict[str, Any]:
    """What the request says of reasoning; empty where it does not want any."""
    given = fields.get("additionalModelRequestFields")
    own = given if isinstance(given, dict) else {}
    wanted: dict[str, Any] = next((own[name] for name in SWITCHES if name in own), {})
    return wanted if wanted.get("type", "disabled") != "disabled" else {}


def check(fields: dict[str, Any]) -> None:
    """What was thought comes back as it was sent, and what may not be asked of a model that thinks."""
    for place, message in enumerate(fields["messages"]):
        for index, block in enumerate(message["content"]):
            if "reasoningContent" in block and not _is_genuine(block["reasoningContent"]):
                path = f"messages.{place}.content.{index}"
                _refuse(path, f"{path}: Invalid `signature` in `thinking` block")
    wanted = config(fields)
    limits = fields.get("inferenceConfig") or {}
    if "budget_tokens" in wanted:
        _check_budget(wanted["budget_tokens"], limits.get("maxTokens"))
        if limits.get("temperature", 1) != 1:
            _refuse("inferenceConfig", "`temperature` may only be set to 1 when thinking is enabled.")
        _check_last_turn(fields["messages"])


def _is_genuine(block: dict[str, Any]) -> bool:
    if "reasoningText" in block:
        thought = block["reasoningText"]
        return signatures.fits(SIGNATURE, thought.get("signature") or "", thought["text"])
    redacted = base64.b64decode(block["redactedContent"]).decode("latin-1")
    return signatures.is_made(REDACTED, redacted)


def _check_budget(budget: int, max_tokens: int | None) -> None:
    if budget < MIN_BUDGET:
        path = "thinking.enabled.budget_tokens"
        _refuse(path, f"{path}: Input should be greater than or equal to {MIN_BUDGET}")
    if max_tokens is not None and max_tokens <= budget:
        _refuse("inferenceConfig", "`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_last_turn(messages: list[dict[str, Any]]) -> None:
    spoken = [each["content"] for each in messages if each["role"] == "assistant"]
    kinds = [kind for block in spoken[-1] for kind in block] if spoken else []
    if "toolUse" in kinds and kinds[0] != "reasoningContent":
        _refuse("messages", f"Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`.")


def _refuse(param: str, message: str) -> None:
    raise InvalidRequest(f"The model returned the following errors: {message}", param)
