"""Why an answer ended, both ways."""

from __future__ import annotations

from collections.abc import Mapping

from hive_routing.dialects.form import Stop

FAILURES = frozenset({"error", "insufficient_system_resource"})
"""With these some providers say that they could not go on."""

_READ: Mapping[str, Stop] = {
    "length": Stop.LENGTH,
    "max_tokens": Stop.LENGTH,
    "model_length": Stop.LENGTH,
    "content_filter": Stop.FILTERED,
    "safety": Stop.FILTERED,
}
_WRITTEN: Mapping[Stop, str] = {
    Stop.LENGTH: "length",
    Stop.CONTEXT: "length",
    Stop.FILTERED: "content_filter",
    Stop.TOOLS: "tool_calls",
}


def read_stop(reason: str | None, has_calls: bool) -> Stop:
    """Unknown reasons are an end like another; some providers say `stop` where the model calls tools."""
    stop = _READ.get((reason or "").partition(":")[0].lower())
    if stop is not None:
        return stop
    return Stop.TOOLS if has_calls else Stop.END


def write_stop(stop: Stop, *, older: bool = False) -> str:
    """older: the call is a `function_call`."""
    written = _WRITTEN.get(stop, "stop")
    return "function_call" if older and stop is Stop.TOOLS else written
