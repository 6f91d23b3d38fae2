"""Answers in the normal form, made up within what a dialect can say."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from hive_routing.dialects.form import (
    Answer,
    Call,
    Choice,
    Part,
    Refusal,
    Stop,
    Text,
)
from hive_routing.usage import Usage
from services.routing.tests.dialects.abilities import (
    TEXTS,
    Can,
    Strategy,
    maybe,
)
from services.routing.tests.dialects.made_up_prompts import (
    calls_of,
    texts_of,
    within,
)


def answers(can: Can, choices: int = 1) -> Strategy[Answer]:
    return _answers(can, choices)


@st.composite
def _answers(draw: st.DrawFn, can: Can, choices: int) -> Answer:
    usages = can.usages if can.usages is not None else _usages(can)
    return Answer(
        id=draw(can.answer_ids),
        model=draw(st.sampled_from(["bee", "bee-2-0101"])) if can.answer_says_model else "",
        created=draw(st.integers(1, 2**32)) if can.answer_says_created else 0,
        choices=[draw(_choices(can)) for _ in range(choices)],
        usage=draw(maybe(usages) if can.may_lack_usage else usages),
    )


@st.composite
def _choices(draw: st.DrawFn, can: Can) -> Choice:
    parts = draw(_answered(can))
    has_calls = any(isinstance(part, Call) for part in parts)
    if has_calls:
        stop = draw(st.sampled_from([Stop.TOOLS, *sorted(can.stops_with_calls, key=_value)]))
    else:
        stop = draw(st.sampled_from(sorted(can.stops, key=_value)))
    sequence = draw(can.texts) if stop is Stop.SEQUENCE and can.says_sequence else None
    has_text = any(isinstance(part, Text) for part in parts)
    logprobs = draw(maybe(_logprobs())) if can.logprobs and has_text else None
    return Choice(parts, stop, sequence, logprobs)


@st.composite
def _answered(draw: st.DrawFn, can: Can) -> list[Part]:
    thinking = can.answer_thinking if can.answer_thinking is not None else can.thinking
    call_seals = can.call_seals if can.answer_call_seals is None else can.answer_call_seals
    text_seals = can.text_seals if can.answer_text_seals is None else can.answer_text_seals
    most_texts = can.most_texts if can.answer_texts is None else can.answer_texts
    is_ordered = can.is_ordered if can.answer_ordered is None else can.answer_ordered
    kinds = ["text", "call"]
    kinds += ["thinking"] if thinking is not None else []
    kinds += ["refusal"] if can.answer_refusals else []
    kinds += ["opaque"] if can.answer_opaque is not None else []
    kinds += ["media"] if can.answer_media is not None else []
    wanted = draw(st.lists(st.sampled_from(kinds), max_size=5))
    wanted.insert(draw(st.integers(0, len(wanted))), draw(st.sampled_from(["text", "call"])))
    parts: list[Part] = []
    calls = 0
    for kind in within(wanted, {"text": most_texts, "refusal": 1}, is_ordered):
        if kind == "text":
            parts.append(draw(texts_of(can, "", text_seals)))
        elif kind == "call":
            parts.append(draw(calls_of(can, ["look_up", "send"], calls, call_seals)))
            calls += 1
        elif kind == "thinking" and thinking is not None:
            parts.append(msgspec.structs.replace(draw(thinking)))
        elif kind == "refusal":
            parts.append(Refusal(draw(can.texts)))
        elif kind == "media" and can.answer_media is not None:
            parts.append(draw(can.answer_media))
        elif can.answer_opaque is not None:
            parts.append(draw(can.answer_opaque))
    return parts


def _value(stop: Stop) -> str:
    return stop.value


@st.composite
def _usages(draw: st.DrawFn, can: Can) -> Usage:
    counts = st.integers(0, 5000)
    units = {"prompt": draw(counts), "completion": draw(counts)}
    for unit in can.usage_units:
        if can.needs_units or draw(st.booleans()):
            units[unit] = draw(counts)
    completion = sum(units.get(unit, 0) for unit in ("completion", "reasoning", "audio_out"))
    return Usage(sum(units.values()) - completion, completion, units)


def _logprobs() -> Strategy[dict[str, Any]]:
    token = st.builds(
        lambda text, logprob: {
            "token": text,
            "logprob": logprob,
            "bytes": list(text.encode()),
            "top_logprobs": [],
        },
        TEXTS,
        st.sampled_from([-0.5, -2.0]),
    )
    return st.builds(
        lambda tokens: {"content": tokens, "refusal": []}, st.lists(token, min_size=1, max_size=3)
    )
