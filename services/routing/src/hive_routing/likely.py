"""What a call is likely to cost: what earlier calls of the same key to the same model used.

Bounded: as many pairs of key and model are remembered as `MOST_PAIRS`, those used last.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from hive_routing.usage import Usage

MOST_PAIRS = 10_000
REMEMBERED = 200
ENOUGH = 20
"""Calls before their figures are believed."""
FIRST_OUTPUT = 1_024
"""Tokens of output that a call is taken for until then."""
RECENT = 8


@dataclass(slots=True)
class _Pair:
    outputs: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    cached: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Per thousand of the prompt, of the calls since one had nothing in a cache."""


class Likely:
    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()

    def note(self, key_id: str, model: str, usage: Usage) -> None:
        """What a call used in the end."""
        pairs, which = self._pairs, (key_id, model)
        pair = pairs.get(which)
        if pair is None:
            pair = pairs[which] = _Pair()
            if len(pairs) > MOST_PAIRS:
                pairs.popitem(last=False)
        else:
            pairs.move_to_end(which)
        pair.outputs.append(usage.completion_tokens)
        cached = usage.units.get("cached_prompt")
        if cached and usage.prompt_tokens:
            pair.cached.append(1000 * cached // usage.prompt_tokens)
        elif pair.cached:
            pair.cached.clear()

    def output(self, key_id: str, model: str, most: int) -> int:
        """Tokens that 99 of 100 calls stay below; never more than `most`."""
        pair = self._pairs.get((key_id, model))
        if pair is None or len(pair.outputs) < ENOUGH:
            return min(FIRST_OUTPUT, most)
        ordered = sorted(pair.outputs)
        return min(max(1, ordered[(99 * len(ordered)) // 100]), most)

    def cached(self, key_id: str, model: str, prompt: int) -> int:
        """Tokens of a prompt that the provider has in its cache, as the least of the last calls says."""
        pair = self._pairs.get((key_id, model))
        if pair is None or len(pair.cached) < RECENT:
            return 0
        return prompt * min(pair.cached) // 1000
