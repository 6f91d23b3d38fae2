"""Google's thought signatures: which calls get one, and that it comes back with them."""

from __future__ import annotations

import base64
import re
from typing import Any

from hive_testing.simulator import signatures
from hive_testing.simulator.gemini.parts import SIGNATURE, SIGNED, Part, of_kind, signed_text
from hive_testing.simulator.reply import InvalidRequest

ALWAYS_SIGNED = re.compile(
    r"gemini-[3-9]"
)  # models that sign every call and want it back in the turn under way
# What Google takes instead for calls that another model made.
EXCUSES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
ACCEPTED = {*EXCUSES, *(base64.b64encode(each.encode()).decode() for each in EXCUSES)}


def signs_always(model: str) -> bool:
    """Whether the model's calls are signed although nothing was thought."""
    return bool(ALWAYS_SIGNED.search(model))


def check(contents: list[dict[str, Any]], model: str) -> None:
    """Raises `InvalidRequest` for a signature that is lost, or not the one that was sent."""
    turn = _current_turn(contents)
    for place, content in enumerate(contents):
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        for index, part in enumerate(content["parts"]):
            signature = part.get("thoughtSignature")
            if signature and signature not in ACCEPTED and not _is_genuine(part, signature):
                raise InvalidRequest("Thought signature is not valid.", f"contents[{place}].parts[{index}]")
            needed = part is first and place >= turn and signs_always(model)
            if not signature and "functionCall" in part and (needed or _was_signed(part)):
                raise _lost(part, place)


def _current_turn(contents: list[dict[str, Any]]) -> int:
    """Where the turn under way begins: with the last content in which a user says something."""
    said = [
        place
        for place, each in enumerate(contents)
        if each.get("role") != "model" and not of_kind(each["parts"], "functionResponse")
    ]
    return said[-1] if said else 0


def _is_genuine(part: Part, signature: str) -> bool:
    """Google reads both alphabets of base64; its SDK writes the one of URLs."""
    signature = signature.translate(str.maketrans("-_", "+/"))
    if "functionCall" in part:
        return signatures.fits(SIGNATURE, signature, signed_text(part["functionCall"]))
    return signatures.is_made(SIGNATURE, signature)


def _was_signed(part: Part) -> bool:
    return str(part["functionCall"].get("id")).endswith(SIGNED)


def _lost(part: Part, place: int) -> InvalidRequest:
    return InvalidRequest(
        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work "
        "correctly, and missing thought_signature may lead to degraded model performance. Additional data, function "
        f"call `default_api:{part['functionCall']['name']}` , position {place + 1}.",
        f"contents[{place}]",
    )
