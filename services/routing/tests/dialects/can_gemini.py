"""What Google's generateContent can say."""

from __future__ import annotations

from hypothesis import strategies as st

from hive_routing.dialects.form import Format, Media, Opaque, Reasoning, Seal, Stop, Thinking
from services.routing.tests.dialects.abilities import (
    IMAGES,
    OBJECTS,
    PDFS,
    SCHEMAS,
    TEXTS,
    Can,
    maybe,
    seals,
)

SOUNDS = st.builds(lambda: Media("audio", "audio/wav", "UklGRg=="))
FILMS = st.builds(lambda: Media("video", url="https://youtu.be/9hE5-98ZeCg"))
MEDIA = (
    IMAGES | PDFS | SOUNDS | FILMS | st.builds(lambda: Media("image", "image/png", url="https://a.example/b"))
)

OWN = seals("gemini", "signature")
FOREIGN = st.builds(
    Seal,
    st.sampled_from(["messages", "responses"]),
    st.sampled_from(["signature", "encrypted", "redacted"]),
    st.sampled_from(["c2VhbA==", "é~hive1.x"]),
)
HELD_FILES = st.sampled_from(
    ["gs://hive/bee.png", "https://generativelanguage.googleapis.com/v1beta/files/x"]
).map(lambda uri: Opaque("gemini", "fileData", {"fileData": {"fileUri": uri, "mimeType": "image/png"}}))
CODE = TEXTS.map(
    lambda text: Opaque("gemini", "executableCode", {"executableCode": {"language": "PYTHON", "code": text}})
)

CAN = Can(
    name="gemini",
    says_model=False,
    says_stream=False,
    choices=True,
    most_stops=5,
    samplings={
        "temperature": st.sampled_from([0.0, 0.5, 2.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "top_k": st.integers(1, 40),
        "seed": st.integers(-(2**31), 2**31 - 1),
        "presence_penalty": st.sampled_from([-1.5, 0.5]),
        "frequency_penalty": st.sampled_from([-1.5, 0.5]),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 20),
    },
    reasonings=st.builds(
        lambda said, visible: Reasoning(**said, visible=visible),
        st.sampled_from(["minimal", "low", "medium", "high", "xhigh"]).map(lambda each: {"effort": each})
        | st.integers(1, 9999).map(lambda each: {"budget": each})
        | st.sampled_from([{}, {"is_off": True}, {"adaptive": True}]),
        maybe(st.booleans()),
    ),
    formats=st.just(Format())
    | st.just(Format("json"))
    | SCHEMAS.map(lambda schema: Format("schema", schema=schema)),
    metadata=maybe(st.just({"a_b": "c"})),
    tiers=maybe(st.sampled_from(["flex", "priority"])),
    rest=st.just({})
    | st.just(
        {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}]}
    )
    | st.just(
        {"generationConfig.speechConfig": {"languageCode": "en-US"}, "cachedContent": "cachedContents/x"}
    )
    | st.just({"toolConfig.retrievalConfig": {"languageCode": "en"}}),
    schemas=maybe(SCHEMAS),
    opaque_tools=OBJECTS.map(lambda each: Opaque("gemini", "googleSearch", {"googleSearch": each})),
    allowed_names=("auto",),
    same_role_twice=True,
    user_media=MEDIA,
    result_media=IMAGES | PDFS,
    result_errors=True,
    opaque_parts={"user": HELD_FILES, "assistant": CODE},
    thinking=st.builds(Thinking, TEXTS, OWN, is_summary=st.just(True)),
    call_seals=maybe(OWN),
    text_seals=maybe(OWN),
    answer_thinking=st.builds(Thinking, TEXTS, OWN | FOREIGN, is_summary=st.just(True)),
    answer_call_seals=maybe(OWN | FOREIGN),
    answer_text_seals=OWN | FOREIGN,
    answer_ids=st.sampled_from(["r8Zk", "resp_1"]),
    answer_opaque=CODE,
    stops=frozenset({Stop.END, Stop.LENGTH, Stop.FILTERED, Stop.PAUSED}),
    stops_with_calls=frozenset({Stop.LENGTH, Stop.FILTERED}),
    usage_units=("cached_prompt", "reasoning", "audio_in", "audio_out"),
)
