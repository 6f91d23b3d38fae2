"""Why an answer ended, in Google's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hive_routing.dialects.form import Call, Part, Stop

_STOPS: Mapping[str, Stop] = {
    "MAX_TOKENS": Stop.LENGTH,
    "CONTINUATION": Stop.PAUSED,
    "SAFETY": Stop.FILTERED,
    "RECITATION": Stop.FILTERED,
    "BLOCKLIST": Stop.FILTERED,
    "PROHIBITED_CONTENT": Stop.FILTERED,
    "SPII": Stop.FILTERED,
    "IMAGE_SAFETY": Stop.FILTERED,
    "IMAGE_PROHIBITED_CONTENT": Stop.FILTERED,
    "IMAGE_RECITATION": Stop.FILTERED,
    "MODEL_ARMOR": Stop.FILTERED,
    "ESCALATION": Stop.FILTERED,
    "PUP_LIMITED_DISABLED": Stop.FILTERED,
}
"""All others are an end like any other."""

_REASONS: Mapping[Stop, str] = {
    Stop.END: "STOP",
    Stop.SEQUENCE: "STOP",
    Stop.TOOLS: "STOP",
    Stop.LENGTH: "MAX_TOKENS",
    Stop.CONTEXT: "MAX_TOKENS",
    Stop.FILTERED: "SAFETY",
    Stop.PAUSED: "CONTINUATION",
}


def stop_of(reason: str | None, parts: Sequence[Part]) -> Stop | None:
    """Why an answer of these parts ended; None while it has not."""
    if not reason or reason == "FINISH_REASON_UNSPECIFIED":
        return None
    stop = _STOPS.get(reason, Stop.END)
    called = stop is Stop.END and any(isinstance(part, Call) for part in parts)
    return Stop.TOOLS if called else stop


def reason_of(stop: Stop) -> str:
    return _REASONS[stop]
