"""Anthropic's request against the types of its SDK."""

from __future__ import annotations

from functools import cache
from typing import Any

from hive_testing.simulator.checking import sdk
from hive_testing.simulator.checking.shapes import Members, Misfit, dotted
from hive_testing.simulator.reply import InvalidRequest

# The API takes them; the newest SDK has no types for them any more.
OLDER = {"temperature": float, "top_p": float, "top_k": int}
NAMES = {"array": "list", "object": "dictionary"}


def check(fields: dict[str, Any]) -> None:
    """Raises `InvalidRequest` where the body of a request does not fit."""
    _check(_request(), fields)


def check_count(fields: dict[str, Any]) -> None:
    """The same for one whose tokens are to be counted."""
    _check(_count(), fields)


@cache
def _request() -> Members:
    from anthropic.types.message_create_params import MessageCreateParamsBase

    return sdk.typed_dict(MessageCreateParamsBase, stream=bool, **OLDER)


@cache
def _count() -> Members:
    from anthropic.types.message_count_tokens_params import MessageCountTokensParams

    return sdk.typed_dict(MessageCountTokensParams)


def _check(shape: Members, fields: dict[str, Any]) -> None:
    try:
        shape.check(fields, ())
    except Misfit as misfit:
        raise InvalidRequest(f"{dotted(misfit.path)}: {_words(misfit)}", dotted(misfit.path)) from misfit


def _words(misfit: Misfit) -> str:
    """As Pydantic words it, which is what Anthropic's own messages read like."""
    match misfit.kind:
        case "unknown":
            return "Extra inputs are not permitted"
        case "missing":
            return "Field required"
        case "value":
            return f"Input should be {', '.join(repr(each) for each in misfit.expected)}"
    return f"Input should be a valid {' or '.join(NAMES.get(each, each) for each in misfit.expected)}"
