"""What OpenAI's responses can say."""

from __future__ import annotations

from hypothesis import strategies as st

from hive_routing.dialects.form import Format, Media, Opaque, Reasoning, Stop, Thinking
from services.routing.tests.dialects.conversations import (
    DATA,
    IMAGE_URLS,
    IMAGES,
    NAMES,
    SCHEMAS,
    TEXTS,
    Can,
    maybe,
    seals,
)

_NAME = "responses"
_SEALS = seals(_NAME, "encrypted")
_IDS = st.integers(1, 99).map("rs_{}".format)
_FILES = st.builds(
    lambda data, name: Media("document", "application/pdf", data, name=name),
    DATA,
    st.sampled_from(["a.pdf", "the bees.pdf"]),
) | st.builds(lambda id: Media("image", file_id=id, detail="high"), st.just("file-1"))
_SCHEMA_FORMATS = st.builds(
    Format,
    kind=st.just("schema"),
    name=NAMES,
    schema=SCHEMAS,
    strict=maybe(st.booleans()),
    description=maybe(TEXTS),
)


def _item(kind: str, **members: object) -> Opaque:
    return Opaque(_NAME, kind, {"type": kind, **members})


_ITEMS = st.sampled_from(
    [
        _item("custom_tool_call", id="ctc_1", call_id="call_c", name="run", input="ls"),
        _item("item_reference", id="msg_1"),
        _item("compaction", id="cmp_1", encrypted_content="c2VhbA=="),
    ]
)


def _thinking(ids: st.SearchStrategy[str | None]) -> st.SearchStrategy[Thinking]:
    said = st.builds(Thinking, text=TEXTS, seal=_SEALS, is_summary=st.booleans(), id=ids)
    return said | st.builds(Thinking, seal=_SEALS, id=ids)


CAN = Can(
    name=_NAME,
    most_stops=0,
    samplings={
        "temperature": st.sampled_from([0.0, 0.5, 2.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "logprobs": st.just(True),
        "top_logprobs": st.integers(1, 20),
    },
    reasonings=st.just(Reasoning("none", is_off=True))
    | st.builds(
        Reasoning,
        effort=maybe(st.sampled_from(["minimal", "low", "medium", "high", "xhigh", "max"])),
        summary=maybe(st.sampled_from(["auto", "concise", "detailed"])),
    ),
    formats=st.sampled_from([Format(), Format("json")]) | _SCHEMA_FORMATS,
    users=maybe(TEXTS),
    metadata=maybe(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=2)),
    tiers=maybe(st.sampled_from(["auto", "flex"])),
    verbosities=maybe(st.sampled_from(["low", "high"])),
    rest=st.sampled_from(
        [
            {"store": False},
            {"store": False, "truncation": "auto", "prompt_cache_key": "bees"},
            {"store": False, "reasoning": {"mode": "pro"}},
            {"store": False, "include": ["web_search_call.results"], "max_tool_calls": 3},
        ]
    ),
    schemas=maybe(SCHEMAS),
    stricts=maybe(st.booleans()),
    opaque_tools=st.sampled_from([_item("web_search"), _item("custom", name="run", format={"type": "text"})]),
    allowed_names=("auto", "required"),
    says_parallel=True,
    system_anywhere=True,
    user_media=IMAGES | IMAGE_URLS | _FILES,
    result_media=IMAGES | _FILES,
    opaque_parts={"user": st.just(_item("input_video", url="https://hive.example")), "assistant": _ITEMS},
    refusals=True,
    thinking=_thinking(maybe(_IDS)),
    answer_thinking=_thinking(_IDS),
    answer_ids=st.just("resp_1"),
    answer_says_created=True,
    answer_opaque=_ITEMS,
    answer_refusals=True,
    stops=frozenset({Stop.END, Stop.LENGTH, Stop.FILTERED}),
    stops_with_calls=frozenset({Stop.LENGTH, Stop.FILTERED}),
    logprobs=True,
    usage_units=("cached_prompt", "cache_write_5m", "reasoning"),
    needs_units=True,
    interleaves=True,
)
