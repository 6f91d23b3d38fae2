"""A conversation that goes on from an earlier interaction: what was said before, as part of its `input`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hive_routing.dialects.gemini.fields import Object, listed
from hive_routing.dialects.interactions.contents import is_content


def history(earlier: Iterable[tuple[Any, Any]], input: Any) -> list[Any]:
    """The `input` that says all of it. earlier: `input` and `steps` of each interaction before, the oldest first."""
    said: list[Any] = []
    for asked, answered in earlier:
        said += as_steps(asked)
        said += answered or []
    return said + as_steps(input)


def as_steps(input: Any) -> list[Any]:
    """Any form of `input` as a list of steps; turns of the older schema stay what they are."""
    if input is None:
        return []
    if isinstance(input, str):
        input = [{"type": "text", "text": input}]
    steps: list[Any] = []
    spoken: Object | None = None
    for item in listed(input):
        if not is_content(item):
            spoken = None
            steps.append(item)
            continue
        if spoken is None:
            spoken = {"type": "user_input", "content": []}
            steps.append(spoken)
        spoken["content"].append(item)
    return steps
