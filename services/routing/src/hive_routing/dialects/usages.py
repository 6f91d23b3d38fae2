"""Usage out of the figures that providers state, whatever their dialect calls them."""

from __future__ import annotations

from collections.abc import Mapping

from hive_routing.usage import MOST_TOKENS, Usage


def usage_of(
    prompt: int | None,
    completion: int | None,
    prompt_parts: Mapping[str, int | None],
    completion_parts: Mapping[str, int | None],
) -> Usage | None:
    """Usage whose tokens are all counted once, each under its unit.

    prompt, completion: all tokens, parts included; None: not stated. The parts are by unit of price, and cut where
    they are more than the whole. None where nothing is stated, or figures that cannot be.
    """
    if prompt is None and completion is None:
        return None
    if not all(count is None or 0 <= count <= MOST_TOKENS for count in (prompt, completion)):
        return None
    units: dict[str, int] = {}
    if prompt is not None:
        _divide(units, "prompt", prompt, prompt_parts)
    if completion is not None:
        _divide(units, "completion", completion, completion_parts)
    return Usage(prompt or 0, completion or 0, units)


def _divide(units: dict[str, int], whole: str, count: int, parts: Mapping[str, int | None]) -> None:
    rest = count
    for unit, part in parts.items():
        if part is not None and part >= 0:
            units[unit] = min(part, rest)
            rest -= units[unit]
    units[whole] = rest
