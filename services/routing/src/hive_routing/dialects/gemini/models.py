"""What Google's models differ in, by the generation that their names tell."""

from __future__ import annotations

import re

_GENERATION = re.compile(r"gemini-(\d+)")


def is_old(model: str) -> bool:
    """Gemini 1 and 2: thinking by budget, no media in the results of functions. Names that tell nothing are new."""
    generation = _generation(model)
    return generation is not None and generation < 3


def checks_signatures(model: str) -> bool:
    """Whether it refuses a call in the history that has no thought signature."""
    generation = _generation(model)
    return generation >= 3 if generation is not None else "gemini" in model and model.endswith("-latest")


def _generation(model: str) -> int | None:
    found = _GENERATION.search(model)
    return int(found[1]) if found else None
