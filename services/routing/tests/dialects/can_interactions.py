"""What the Interactions API can say."""

from __future__ import annotations

from hypothesis import strategies as st

from hive_routing.dialects.form import Format, Media, Opaque, Reasoning, Seal, Stop, Thinking
from services.routing.tests.dialects.abilities import (
    IMAGE_URLS,
    IMAGES,
    OBJECTS,
    PDFS,
    SCHEMAS,
    TEXTS,
    Can,
    maybe,
)

SOUNDS = st.builds(lambda: Media("audio", "audio/wav", "UklGRg=="))
FILMS = st.builds(lambda: Media("video", "video/mp4", url="https://a.example/bee.mp4", name="bee"))
CLOSE = st.builds(
    lambda detail: Media("image", "image/png", "aGl2ZQ==", detail=detail), st.sampled_from(["low", "high"])
)

SEALS = st.builds(
    Seal,
    st.sampled_from(["gemini", "messages", "interactions"]),
    st.just("signature"),
    st.sampled_from(["c2VhbA==", "Eq/+AA=="]),
)
HELD_FILES = st.sampled_from(
    ["gs://hive/bee.png", "https://generativelanguage.googleapis.com/v1beta/files/x"]
).map(lambda uri: Opaque("gemini", "fileData", {"fileData": {"mimeType": "image/png", "fileUri": uri}}))
SEARCHES = TEXTS.map(
    lambda text: Opaque(
        "interactions",
        "google_search_call",
        {"type": "google_search_call", "id": "s1", "arguments": {"queries": [text]}},
    )
)

CAN = Can(
    name="interactions",
    most_stops=5,
    samplings={
        "temperature": st.sampled_from([0.0, 0.5, 2.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "seed": st.integers(-(2**31), 2**31 - 1),
    },
    reasonings=st.builds(
        lambda effort, said: Reasoning(effort=effort, **said),
        maybe(st.sampled_from(["minimal", "low", "medium", "high", "xhigh"])),
        st.sampled_from([{}, {"summary": "auto", "visible": True}, {"visible": False}]),
    ),
    formats=st.just(Format())
    | st.just(Format("json"))
    | SCHEMAS.map(lambda schema: Format("schema", schema=schema)),
    metadata=maybe(st.just({"a_b": "c"})),
    tiers=maybe(st.sampled_from(["flex", "priority"])),
    rest=st.just({})
    | st.just({"store": False, "webhook_config": {"uris": []}})
    | st.just({"generation_config.speech_config": {"language": "en-US"}}),
    schemas=maybe(SCHEMAS),
    opaque_tools=OBJECTS.map(
        lambda each: Opaque("interactions", "google_search", each | {"type": "google_search"})
    ),
    allowed_names=("auto",),
    most_system_texts=1,
    user_media=IMAGES | IMAGE_URLS | PDFS | SOUNDS | FILMS | CLOSE,
    result_media=IMAGES | PDFS,
    result_errors=True,
    opaque_parts={"user": HELD_FILES, "assistant": SEARCHES},
    thinking=st.builds(Thinking, TEXTS, maybe(SEALS), is_summary=st.just(True))
    | st.builds(Thinking, st.just(""), SEALS, is_summary=st.just(True)),
    call_seals=maybe(SEALS),
    text_seals=maybe(SEALS),
    answer_ids=st.sampled_from(["v1_abc", "chatcmpl-1"]),
    answer_says_created=True,
    answer_opaque=SEARCHES,
    stops_with_calls=frozenset({Stop.LENGTH}),
    usage_units=("cached_prompt", "reasoning"),
    needs_units=True,
)
