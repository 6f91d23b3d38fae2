"""Prompts in the normal form, made up within what a dialect can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from hive_routing.dialects.form import (
    CacheMark,
    Call,
    Media,
    Opaque,
    Part,
    Prompt,
    Refusal,
    Result,
    Role,
    Sampling,
    Seal,
    Text,
    Tool,
    ToolChoice,
    Turn,
)
from services.routing.tests.dialects.abilities import (
    NAMES,
    NONE,
    Can,
    Strategy,
    maybe,
)


def prompts(can: Can) -> Strategy[Prompt]:
    return _prompts(can)


@st.composite
def _prompts(draw: st.DrawFn, can: Can) -> Prompt:
    functions = draw(st.lists(_tools(can), max_size=2, unique_by=lambda each: each.name))
    names = [tool.name for tool in functions]
    tools: list[Tool | Opaque] = [*functions]
    if can.opaque_tools is not None:
        tools += draw(st.lists(can.opaque_tools, max_size=1))
    stream = can.says_stream and draw(st.booleans())
    sampling = {name: draw(maybe(values)) for name, values in can.samplings.items()}
    if sampling.get("top_logprobs") is not None:
        sampling["logprobs"] = True
    return Prompt(
        dialect=can.name,
        model=draw(st.sampled_from(["bee", "hive/bee-2:latest"])) if can.says_model else "",
        turns=draw(_turns(can, names or ["look_up"])),
        tools=tools,
        choice=draw(_tool_choices(can, names)) if names else ToolChoice(),
        format=draw(can.formats),
        reasoning=draw(can.reasonings),
        sampling=Sampling(**sampling),
        max_output=draw(st.integers(70_000, 80_000) if can.needs_max_output else maybe(st.integers(1, 9999))),
        stop=draw(st.lists(can.texts, max_size=can.most_stops, unique=True)),
        choices=draw(st.integers(1, 3)) if can.choices else 1,
        stream=stream,
        usage_asked=stream and can.says_usage_asked and draw(st.booleans()),
        user=draw(can.users),
        metadata=draw(can.metadata),
        tier=draw(can.tiers),
        verbosity=draw(can.verbosities),
        rest=draw(can.rest),
    )


def _tools(can: Can) -> Strategy[Tool]:
    return st.builds(
        Tool,
        name=NAMES,
        description=maybe(can.texts),
        schema=can.schemas,
        strict=can.stricts,
        cache=_marks(can, "tool"),
    )


@st.composite
def _tool_choices(draw: st.DrawFn, can: Can, names: Sequence[str]) -> ToolChoice:
    mode: Any = draw(maybe(st.sampled_from(can.choice_modes)) if can.choice_modes else st.none())
    chosen: list[str] = []
    if mode == "named":
        chosen = [draw(st.sampled_from(names))]
    elif mode in can.allowed_names and draw(st.booleans()):
        chosen = list(names)
    # most dialects say it inside of the choice, and with no choice to make it means nothing
    parallel = draw(maybe(st.booleans())) if can.says_parallel and mode not in (None, "none") else None
    return ToolChoice(mode, chosen, parallel)


@st.composite
def _turns(draw: st.DrawFn, can: Can, tools: Sequence[str]) -> list[Turn]:
    turns: list[Turn] = []
    if draw(st.booleans()):
        turns.append(draw(_system(can)))
    turns.append(draw(_user(can)))
    calls = 0
    for _ in range(draw(st.integers(0, 3))):
        role = draw(st.sampled_from(_next_roles(can, turns[-1].role)))
        if role == "system":
            turns.append(draw(_system(can)))
        elif role == "user":
            turns.append(draw(_user(can)))
        else:
            turn = draw(_assistant(can, tools, calls))
            turns.append(turn)
            called = [part for part in turn.parts if isinstance(part, Call)]
            calls += len(called)
            if called:
                turns.append(Turn("tool", [draw(_results(can, call)) for call in called]))
    return turns


def _next_roles(can: Can, last: Role) -> list[Role]:
    roles: list[Role] = ["assistant", "user"]
    if can.system_anywhere:
        roles.append("system")
    return [role for role in roles if can.same_role_twice or role != last]


@st.composite
def _system(draw: st.DrawFn, can: Can) -> Turn:
    texts = draw(st.lists(texts_of(can, "system"), min_size=1, max_size=can.most_system_texts))
    return Turn("system", list(texts), _name(draw, can))


@st.composite
def _user(draw: st.DrawFn, can: Can) -> Turn:
    parts: list[Part] = list(draw(st.lists(texts_of(can, "text"), min_size=1, max_size=2)))
    for media in draw(st.lists(_medias(can, can.user_media), max_size=2)):
        parts.insert(len(parts) if can.text_first else draw(st.integers(0, len(parts))), media)
    if (opaque := can.opaque_parts.get("user")) is not None:
        parts += draw(st.lists(opaque, max_size=1))
    return Turn("user", parts, _name(draw, can))


@st.composite
def _assistant(draw: st.DrawFn, can: Can, tools: Sequence[str], calls: int) -> Turn:
    kinds = ["text", "call"]
    kinds += ["thinking"] if can.thinking is not None else []
    kinds += ["refusal"] if can.refusals else []
    kinds += ["opaque"] if "assistant" in can.opaque_parts else []
    wanted = draw(st.lists(st.sampled_from(kinds), max_size=4))
    wanted.insert(draw(st.integers(0, len(wanted))), draw(st.sampled_from(["text", "call"])))
    wanted = within(
        wanted, {"text": can.most_texts, "thinking": can.most_thinking, "refusal": 1}, can.is_ordered
    )
    parts: list[Part] = []
    for kind in wanted:
        if kind == "text":
            parts.append(draw(texts_of(can, "text", can.text_seals)))
        elif kind == "call":
            parts.append(draw(calls_of(can, tools, calls, can.call_seals)))
            calls += 1
        elif kind == "thinking" and can.thinking is not None:
            parts.append(msgspec.structs.replace(draw(can.thinking)))
        elif kind == "refusal":
            parts.append(Refusal(draw(can.texts)))
        elif kind == "opaque":
            parts.append(draw(can.opaque_parts["assistant"]))
    return Turn("assistant", parts, _name(draw, can))


_ORDER = ("thinking", "text", "refusal", "media", "opaque", "call")


def within(kinds: list[str], most: Mapping[str, int], is_ordered: bool) -> list[str]:
    kept: list[str] = []
    for kind in kinds:
        if kept.count(kind) < most.get(kind, len(kinds)):
            kept.append(kind)
    return kept if is_ordered else sorted(kept, key=_ORDER.index)


@st.composite
def _results(draw: st.DrawFn, can: Can, call: Call) -> Result:
    parts: list[Text | Media | Opaque] = list(
        draw(st.lists(st.builds(Text, text=can.texts), min_size=1, max_size=can.result_texts))
    )
    if can.result_media is not None:
        parts += draw(st.lists(can.result_media, max_size=1))
    return Result(
        call.id,
        parts,
        name=call.name if can.result_names else None,
        is_error=can.result_errors and draw(st.booleans()),
        cache=draw(_marks(can, "result")),
    )


def texts_of(can: Can, place: str, seals: Strategy[Seal | None] = NONE) -> Strategy[Text]:
    return st.builds(Text, text=can.texts, cache=_marks(can, place), seal=seals)


@st.composite
def _medias(draw: st.DrawFn, can: Can, medias: Strategy[Media]) -> Media:
    return msgspec.structs.replace(draw(medias), cache=draw(_marks(can, "media")))


def calls_of(can: Can, tools: Sequence[str], number: int, seals: Strategy[Seal | None]) -> Strategy[Call]:
    return st.builds(
        Call,
        id=st.just(can.call_ids.format(number)),
        name=st.sampled_from(tools),
        arguments=can.arguments,
        cache=_marks(can, "call"),
        seal=seals,
    )


def _marks(can: Can, place: str) -> Strategy[CacheMark | None]:
    if place not in can.marks:
        return NONE
    return maybe(st.builds(CacheMark, st.sampled_from(can.ttls)))


def _name(draw: st.DrawFn, can: Can) -> str | None:
    return draw(maybe(NAMES)) if can.turn_names else None
