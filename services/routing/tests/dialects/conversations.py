"""Conversations in the normal form of `form.py`, made up within what a dialect can say: all that tests need of them.

Each dialect's tests describe it by a `Can` (`abilities.py`).
"""

from __future__ import annotations

from services.routing.tests.dialects.abilities import (
    ARGUMENTS,
    DATA,
    IMAGE_URLS,
    IMAGES,
    NAMES,
    NONE,
    OBJECTS,
    PDFS,
    RANDOMS,
    SCHEMAS,
    TEXTS,
    URLS,
    VALUES,
    Can,
    Strategy,
    few,
    maybe,
    seals,
)
from services.routing.tests.dialects.made_up_answers import (
    answers,
)
from services.routing.tests.dialects.made_up_prompts import (
    prompts,
)
from services.routing.tests.dialects.made_up_streams import (
    assert_well_formed,
    cut,
    events_of,
    pieces,
    streams,
)

__all__ = [
    "ARGUMENTS",
    "DATA",
    "IMAGES",
    "IMAGE_URLS",
    "NAMES",
    "NONE",
    "OBJECTS",
    "PDFS",
    "RANDOMS",
    "SCHEMAS",
    "TEXTS",
    "URLS",
    "VALUES",
    "Can",
    "Strategy",
    "answers",
    "assert_well_formed",
    "cut",
    "events_of",
    "few",
    "maybe",
    "pieces",
    "prompts",
    "seals",
    "streams",
]
