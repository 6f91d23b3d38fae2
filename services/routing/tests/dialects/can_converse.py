"""What Amazon's Converse can say."""

from __future__ import annotations

from hypothesis import strategies as st

from hive_routing.dialects.form import Format, Media, Opaque, Reasoning, Seal, Stop, Thinking
from hive_routing.usage import Usage
from services.routing.tests.dialects.conversations import (
    DATA,
    IMAGES,
    NAMES,
    OBJECTS,
    PDFS,
    SCHEMAS,
    TEXTS,
    Can,
    maybe,
    seals,
)

NOTES = st.builds(
    lambda name, context: Media("document", "text/plain", "aGl2ZQ==", name=name, context=context),
    maybe(st.sampled_from(["bees", "Bees (all) [2]"])),
    maybe(TEXTS),
)
KEPT = st.builds(
    lambda kind, mime: Media(kind, mime, url="s3://hive/bee"),
    st.just("image"),
    st.sampled_from(["image/webp", "image/gif"]),
) | st.builds(lambda: Media("document", "text/csv", url="s3://hive/bees.csv", name="Bees (all)"))
FILMS = st.builds(lambda data: Media("video", "video/mp4", data), DATA)
SOUNDS = st.builds(lambda data: Media("audio", "audio/mpeg", data), DATA)

THINKING = st.builds(Thinking, TEXTS | st.just(""), seals("converse", "signature")) | st.builds(
    lambda seal: Thinking("", seal), seals("converse", "redacted")
)
FOREIGN = st.builds(
    Seal,
    st.sampled_from(["gemini", "responses"]),
    st.sampled_from(["signature", "encrypted"]),
    st.sampled_from(["c2VhbA==", "é~hive1.x"]),
)
GUARDED = st.builds(
    lambda text: Opaque("converse", "guardContent", {"text": {"text": text, "qualifiers": ["query"]}}), TEXTS
)
SEARCHES = st.builds(
    lambda input: Opaque(
        "converse",
        "toolUse",
        {"toolUseId": "srv_1", "name": "nova_grounding", "input": input, "type": "server_tool_use"},
    ),
    OBJECTS,
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What was written to the cache for an hour is told together with the rest of what was written."""
    counts = st.integers(0, 5000)
    prompt = {"prompt": draw(counts)}
    told = draw(
        st.sampled_from([(), ("cached_prompt",), ("cache_write_5m",), ("cache_write_5m", "cache_write_1h")])
    )
    prompt |= {unit: draw(counts) for unit in told}
    completion = draw(counts)
    return Usage(sum(prompt.values()), completion, prompt | {"completion": completion})


CAN = Can(
    name="converse",
    says_model=False,
    says_stream=False,
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
    formats=st.just(Format())
    | st.builds(
        lambda name, schema, description: Format("schema", name, schema, description=description),
        maybe(NAMES),
        SCHEMAS,
        maybe(TEXTS),
    ),
    metadata=maybe(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=2)),
    tiers=maybe(st.sampled_from(["default", "flex"])),
    rest=st.sampled_from(
        [
            {},
            {"guardrailConfig": {"guardrailIdentifier": "g1", "guardrailVersion": "1"}},
            {"additionalModelRequestFields": {"anthropic_beta": ["a"]}, "outputConfig": {"pace": 1}},
            {"additionalModelRequestFields": {"reasoning_effort": "low", "inferenceConfig": {"topK": 3}}},
            {"additionalModelResponseFieldPaths": ["/a"], "performanceConfig": {"latency": "optimized"}},
        ]
    ),
    stricts=maybe(st.booleans()),
    opaque_tools=st.just(Opaque("converse", "systemTool", {"name": "nova_grounding"})),
    choice_modes=("auto", "required", "named"),
    system_anywhere=True,
    user_media=IMAGES | PDFS | NOTES | KEPT | FILMS | SOUNDS,
    result_media=IMAGES | PDFS | NOTES | FILMS,
    result_errors=True,
    marks=frozenset({"text", "media", "result", "tool", "system"}),
    ttls=(None, "5m", "1h"),
    opaque_parts={"user": GUARDED, "assistant": SEARCHES},
    most_texts=4,
    thinking=THINKING,
    answer_thinking=THINKING
    | st.builds(Thinking, TEXTS, FOREIGN)
    | st.builds(lambda seal: Thinking("", seal), FOREIGN)
    | st.builds(Thinking, TEXTS),
    answer_says_model=False,
    stops=frozenset(Stop) - {Stop.TOOLS, Stop.PAUSED},
    stops_with_calls=frozenset({Stop.LENGTH, Stop.CONTEXT, Stop.FILTERED}),
    says_sequence=True,
    usages=usages(),
    may_lack_usage=False,
    interleaves=True,
)
