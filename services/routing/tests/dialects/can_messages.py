"""What Anthropic's messages can say."""

from __future__ import annotations

from hypothesis import strategies as st

from hive_routing.dialects.form import Format, Media, Opaque, Reasoning, Seal, Stop, Thinking
from hive_routing.usage import Usage
from services.routing.tests.dialects.conversations import (
    IMAGE_URLS,
    IMAGES,
    OBJECTS,
    PDFS,
    SCHEMAS,
    TEXTS,
    Can,
    maybe,
    seals,
)

NOTES = st.builds(
    lambda data, name, context: Media("document", "text/plain", data, name=name, context=context),
    st.sampled_from(["aGl2ZQ==", "8J+QnQ=="]),
    maybe(TEXTS),
    maybe(TEXTS),
)
FILES = st.builds(
    lambda kind: Media(kind, file_id="file_011CNha8iCJcU1wXNR6q4V8w"), st.sampled_from(["image", "document"])
)
PDF_URLS = st.builds(lambda: Media("document", url="https://hive.example/bee.pdf"))
MEDIA = IMAGES | IMAGE_URLS | PDFS | PDF_URLS | NOTES | FILES

THINKING = st.builds(Thinking, TEXTS, seals("messages", "signature")) | st.builds(
    lambda seal: Thinking("", seal), seals("messages", "signature") | seals("messages", "redacted")
)
FOREIGN = st.builds(
    Seal,
    st.sampled_from(["gemini", "responses"]),
    st.sampled_from(["signature", "encrypted"]),
    st.sampled_from(["c2VhbA==", "é~hive1.x"]),
)
SEARCH_TOOLS = st.builds(
    lambda uses: Opaque(
        "messages",
        "web_search_20250305",
        {"type": "web_search_20250305", "name": "web_search", "max_uses": uses},
    ),
    st.integers(1, 5),
)
SEARCH_RESULTS = st.builds(
    lambda text: Opaque(
        "messages",
        "search_result",
        {
            "type": "search_result",
            "source": "https://hive.example",
            "title": "Bees",
            "content": [{"type": "text", "text": text}],
        },
    ),
    TEXTS,
)
SEARCHES = st.builds(
    lambda input: Opaque(
        "messages",
        "server_tool_use",
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": input},
    ),
    OBJECTS,
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """It always says what was read from and written to the cache, and sometimes for how long, and the thinking."""
    counts = st.integers(0, 5000)
    prompt = {unit: draw(counts) for unit in ("prompt", "cached_prompt", "cache_write_5m")}
    if draw(st.booleans()):
        prompt["cache_write_1h"] = draw(counts)
    completion = {"completion": draw(counts)}
    if draw(st.booleans()):
        completion["reasoning"] = draw(counts)
    return Usage(sum(prompt.values()), sum(completion.values()), prompt | completion)


CAN = Can(
    name="messages",
    needs_max_output=True,
    samplings={
        "temperature": st.sampled_from([0.0, 0.5, 1.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "top_k": st.sampled_from([0, 40]),
    },
    reasonings=st.builds(
        Reasoning,
        budget=st.sampled_from([1024, 64_000]),
        visible=maybe(st.booleans()),
        effort=maybe(st.sampled_from(["low", "max"])),
    )
    | st.builds(Reasoning, adaptive=st.just(True), effort=maybe(st.just("xhigh")))
    | st.builds(Reasoning, is_off=st.booleans(), effort=maybe(st.just("medium"))),
    formats=st.just(Format()) | st.builds(lambda schema: Format("schema", schema=schema), SCHEMAS),
    users=maybe(TEXTS),
    tiers=maybe(st.sampled_from(["auto", "standard_only"])),
    rest=st.sampled_from(
        [
            {},
            {"cache_control": {"type": "ephemeral"}, "speed": "fast"},
            {"thinking_of_tomorrow": [1, {"a": None}], "output_config": {"task_budget": {"total": 9}}},
            {"metadata": {"session": "s"}, "tool_choices": False},
        ]
    ),
    stricts=maybe(st.booleans()),
    opaque_tools=SEARCH_TOOLS,
    says_parallel=True,
    system_anywhere=True,
    same_role_twice=True,
    user_media=MEDIA,
    result_media=IMAGES | PDFS | NOTES,
    result_errors=True,
    marks=frozenset({"text", "media", "result", "tool", "system"}),
    ttls=(None, "5m", "1h"),
    opaque_parts={"user": SEARCH_RESULTS, "assistant": SEARCHES},
    most_texts=4,
    thinking=THINKING,
    answer_thinking=THINKING
    | st.builds(Thinking, TEXTS, FOREIGN)
    | st.builds(lambda seal: Thinking("", seal), FOREIGN)
    | st.builds(Thinking, TEXTS),
    answer_call_seals=maybe(FOREIGN),
    answer_ids=st.sampled_from(["msg_01XFDUDYJgAACzvnptvVoYEL", "msg_bee"]),
    call_ids="toolu_{}",
    answer_opaque=SEARCHES,
    stops=frozenset(Stop) - {Stop.TOOLS},
    stops_with_calls=frozenset({Stop.LENGTH, Stop.PAUSED, Stop.CONTEXT, Stop.FILTERED}),
    says_sequence=True,
    usages=usages(),
    may_lack_usage=False,
    interleaves=True,
)
