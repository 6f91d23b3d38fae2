"""What a dialect can say, and the values that conversations are made up of."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from hive_routing.dialects.form import Format, Media, Opaque, Reasoning, Seal, Stop, Thinking
from hive_routing.usage import Usage

Strategy = st.SearchStrategy

few = settings(
    deadline=None,
    max_examples=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # explaining takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TEXTS: Strategy[str] = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
NAMES: Strategy[str] = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
VALUES: Strategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.sampled_from([0.5, -2.25]) | TEXTS,
    lambda each: st.lists(each, max_size=2) | st.dictionaries(NAMES, each, max_size=2),
    max_leaves=4,
)
OBJECTS: Strategy[dict[str, Any]] = st.dictionaries(NAMES, VALUES, max_size=3)
ARGUMENTS: Strategy[str] = OBJECTS.map(lambda each: msgspec.json.encode(each).decode())
"""Compact JSON source of objects: what dialects that have objects there give back as it was."""
SCHEMAS: Strategy[dict[str, Any]] = st.sampled_from(
    [
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        {
            "type": "object",
            "properties": {
                "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
                "kinds": {"type": "array", "items": {"enum": ["a", "b"]}},
                "at": {"$ref": "#/$defs/place"},
            },
            "$defs": {"place": {"type": "object", "properties": {"x": {"type": "number"}}}},
            "additionalProperties": False,
        },
    ]
)
RANDOMS: Strategy[Random] = st.integers(0, 2**32).map(Random)
"""What is drawn from them does not shrink, which keeps a failing test short."""
DATA: Strategy[str] = st.sampled_from(["aGl2ZQ==", "AAECAwQ=", "/+8="])
URLS: Strategy[str] = st.sampled_from(["https://hive.example/bee.png", "https://hive.example/a?b=c&d=%20"])
IMAGES: Strategy[Media] = st.builds(
    lambda mime, data: Media("image", mime, data), st.sampled_from(["image/png", "image/jpeg"]), DATA
)
IMAGE_URLS: Strategy[Media] = st.builds(lambda url: Media("image", url=url), URLS)
PDFS: Strategy[Media] = st.builds(lambda data: Media("document", "application/pdf", data), DATA)
NONE: Strategy[None] = st.none()


def seals(dialect: str, kind: str) -> Strategy[Seal]:
    """Seals as a provider makes them: base64 text."""
    return st.builds(lambda value: Seal(dialect, kind, value), st.sampled_from(["c2VhbA==", "Eq/+AA=="]))


def maybe(strategy: Strategy[Any]) -> Strategy[Any]:
    return st.none() | strategy


@dataclass(frozen=True, kw_only=True)
class Can:
    """What a dialect can say, and reads as the same form again; the defaults are what every dialect can.

    Of the fields that are strategies, `NONE` says that there is no such thing.
    """

    name: str
    is_for_clients: bool = True
    """It writes answers and streams."""

    # ---- members of a prompt
    says_model: bool = True
    """`model` stands in the body of a request."""
    says_stream: bool = True
    says_usage_asked: bool = False
    needs_max_output: bool = False
    choices: bool = False
    most_stops: int = 4
    samplings: Mapping[str, Strategy[Any]] = field(
        default_factory=lambda: {
            "temperature": st.sampled_from([0.0, 0.5, 1.0]),
            "top_p": st.sampled_from([0.5, 1.0]),
        }
    )
    """By field of `Sampling`; `None` is always among the values."""
    reasonings: Strategy[Reasoning] = st.just(Reasoning())
    formats: Strategy[Format] = st.just(Format())
    users: Strategy[str | None] = NONE
    metadata: Strategy[dict[str, str] | None] = NONE
    tiers: Strategy[str | None] = NONE
    verbosities: Strategy[str | None] = NONE
    rest: Strategy[dict[str, Any]] = st.just({})

    # ---- tools
    schemas: Strategy[dict[str, Any] | None] = SCHEMAS
    stricts: Strategy[bool | None] = NONE
    opaque_tools: Strategy[Opaque] | None = None
    choice_modes: tuple[str, ...] = ("auto", "none", "required", "named")
    allowed_names: tuple[str, ...] = ()
    """Modes in which `names` may hold more than one."""
    says_parallel: bool = False

    # ---- turns
    texts: Strategy[str] = TEXTS
    system_anywhere: bool = False
    """System turns may stand between others; else there is one at most, and it is the first."""
    most_system_texts: int = 2
    same_role_twice: bool = False
    turn_names: bool = False
    text_first: bool = False
    """A turn of the user has texts before media."""
    user_media: Strategy[Media] = IMAGES
    result_media: Strategy[Media] | None = None
    result_names: bool = True
    result_errors: bool = False
    result_texts: int = 2
    marks: frozenset[str] = frozenset()
    """Where cache marks can be: `text`, `media`, `call`, `result`, `tool`, `system`."""
    ttls: tuple[str | None, ...] = (None,)
    arguments: Strategy[str] = ARGUMENTS
    opaque_parts: Mapping[str, Strategy[Opaque]] = field(default_factory=dict)
    """By role of the turn they can be in."""
    is_ordered: bool = True
    """The parts of an assistant keep their order; else they are thinking, text, calls."""
    most_texts: int = 2
    """Texts in a turn of the assistant."""
    most_thinking: int = 5
    """Thoughts in a turn of a prompt."""
    refusals: bool = False
    """In prompts."""

    # ---- seals, in prompts to a provider and in answers for a client
    thinking: Strategy[Thinking] | None = None
    call_seals: Strategy[Seal | None] = NONE
    text_seals: Strategy[Seal | None] = NONE
    answer_thinking: Strategy[Thinking] | None = None
    """None: as in prompts; so below."""
    answer_call_seals: Strategy[Seal | None] | None = None
    answer_text_seals: Strategy[Seal | None] | None = None

    # ---- answers
    answer_ids: Strategy[str] = st.just("")
    call_ids: str = "call_{}"
    answer_says_model: bool = True
    answer_says_created: bool = False
    answer_opaque: Strategy[Opaque] | None = None
    answer_media: Strategy[Media] | None = None
    answer_texts: int | None = None
    """Texts in an answer; None: as many as in a turn of a prompt. So below."""
    answer_ordered: bool | None = None
    answer_refusals: bool = False
    stops: frozenset[Stop] = frozenset({Stop.END, Stop.LENGTH})
    """Besides `TOOLS`."""
    stops_with_calls: frozenset[Stop] = frozenset()
    """Besides `TOOLS`."""
    says_sequence: bool = False
    logprobs: bool = False
    usage_units: tuple[str, ...] = ("cached_prompt", "reasoning")
    """Units that its usage tells apart, besides `prompt` and `completion`."""
    needs_units: bool = False
    """Its usage always tells all of them."""
    usages: Strategy[Usage] | None = None
    """Instead, where its usage has rules of its own."""
    may_lack_usage: bool = True
    interleaves: bool = False
    """In a stream calls of one choice may grow at once."""
