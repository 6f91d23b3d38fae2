"""What chat completions can say."""

from __future__ import annotations

from hypothesis import strategies as st

from hive_routing.dialects.form import Format, Media, Opaque, Reasoning, Seal, Stop, Thinking
from services.routing.tests.dialects.conversations import (
    DATA,
    IMAGE_URLS,
    IMAGES,
    NAMES,
    SCHEMAS,
    TEXTS,
    VALUES,
    Can,
    maybe,
    seals,
)

_MEDIA = (
    IMAGES
    | IMAGE_URLS
    | st.builds(lambda url: Media("image", url=url, detail="low"), st.just("https://hive.example/bee.png"))
    | st.builds(lambda data, name: Media("document", "application/pdf", data, name=name), DATA, NAMES)
    | st.builds(lambda id: Media("document", file_id=id), NAMES)
    | st.builds(
        lambda mime, data: Media("audio", mime, data), st.sampled_from(["audio/wav", "audio/mpeg"]), DATA
    )
)
_FOREIGN = seals("messages", "signature") | seals("responses", "encrypted")

CAN = Can(
    name="chat",
    says_usage_asked=True,
    choices=True,
    samplings={
        "temperature": st.sampled_from([0.0, 1.5]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "top_k": st.integers(1, 50),
        "seed": st.integers(0, 2**31),
        "presence_penalty": st.sampled_from([-2.0, 0.5]),
        "frequency_penalty": st.sampled_from([-0.5, 2.0]),
        "logit_bias": st.dictionaries(
            st.sampled_from(["50256", "7"]), st.integers(-100, 100).map(float), min_size=1
        ),
        "top_logprobs": st.integers(0, 20),
    },
    reasonings=st.just(Reasoning())
    | st.just(Reasoning("none", is_off=True))
    | st.builds(Reasoning, st.sampled_from(["minimal", "low", "medium", "high", "xhigh", "max"])),
    formats=st.just(Format())
    | st.just(Format("json"))
    | st.builds(Format, st.just("schema"), NAMES, SCHEMAS, maybe(st.booleans()), maybe(TEXTS)),
    users=maybe(NAMES),
    metadata=maybe(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=2)),
    tiers=maybe(st.sampled_from(["auto", "flex"])),
    verbosities=maybe(st.sampled_from(["low", "high"])),
    rest=st.dictionaries(
        st.sampled_from(["prediction", "store", "a_new_member"]), VALUES.filter(lambda each: each is not None)
    ),
    schemas=maybe(SCHEMAS),
    stricts=maybe(st.booleans()),
    opaque_tools=st.builds(
        lambda name: Opaque("chat", "custom", {"type": "custom", "custom": {"name": name}}), NAMES
    ),
    allowed_names=("auto", "required"),
    says_parallel=True,
    system_anywhere=True,
    same_role_twice=True,
    turn_names=True,
    user_media=_MEDIA,
    arguments=TEXTS,
    opaque_parts={
        "user": st.builds(
            lambda url: Opaque("chat", "video_url", {"type": "video_url", "video_url": {"url": url}}), NAMES
        ),
    },
    is_ordered=False,
    refusals=True,
    thinking=st.builds(Thinking, TEXTS, st.just(Seal("chat", "reasoning_content", ""))),
    most_thinking=1,
    answer_thinking=st.builds(Thinking, TEXTS, _FOREIGN)
    | st.builds(Thinking, st.just(""), seals("messages", "redacted")),
    answer_call_seals=maybe(seals("gemini", "signature") | _FOREIGN),
    answer_text_seals=maybe(seals("gemini", "signature")),
    answer_ids=NAMES.map("chatcmpl-{}".format),
    answer_says_created=True,
    answer_opaque=st.builds(lambda value: Opaque("messages", "server_tool_use", value), VALUES),
    answer_media=IMAGES | IMAGE_URLS,
    answer_texts=1,
    answer_refusals=True,
    stops=frozenset({Stop.END, Stop.LENGTH, Stop.FILTERED}),
    stops_with_calls=frozenset({Stop.LENGTH}),
    logprobs=True,
    usage_units=("cached_prompt", "cache_write_5m", "cache_write_1h", "audio_in", "reasoning", "audio_out"),
    interleaves=True,
)
