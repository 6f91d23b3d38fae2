"""The most that a call can become: never less than what a provider counts, and exact where we know how it counts."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_routing.bounds import IMAGE_MOST, SMALL_MODEL_IMAGE_MOST, WINDOW_MOST, Bound, bound_of, worst_cost
from hive_routing.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, GENERATE, MESSAGES, Endpoint
from hive_routing.estimates import prompt_of
from hive_routing.guarding.texts import request_texts
from hive_routing.request import Request
from hive_routing.splice import attach_documents
from hive_routing.tokens import TokenCounter
from hive_runtime.money import Tariff

COUNTER = TokenCounter()
HELLO = [{"role": "user", "content": "hello world"}]


def request(endpoint: Endpoint = CHAT, **fields: Any) -> Request:
    body = msgspec.json.encode({"model": "m"} | fields)
    made = Request.parse(endpoint, body)
    made.check()
    attach_documents(made)
    return made


async def bound(made: Request, model: str = "gpt-4o", default: int = 4096) -> Bound:
    return await bound_of(made, model, default, COUNTER)


async def test_a_known_tokenizer_counts_exactly() -> None:
    assert await bound(request(messages=HELLO)) == Bound(3 + 3 + 1 + 2, 4096, 4096)


async def test_else_a_token_is_a_byte() -> None:
    text = "Grüße 🐝"
    made = await bound(request(messages=[{"role": "user", "content": text}]), "claude-sonnet-4")
    assert made.prompt >= len(text.encode())
    plain = await bound(request(EMBEDDINGS, input=text), "some-embedder")
    assert plain == Bound(len(text.encode()), 0, None)


@pytest.mark.parametrize(
    ("fields", "output", "added"),
    [
        ({}, 100, 100),
        ({"max_tokens": 7}, 7, None),
        ({"max_completion_tokens": 9}, 9, None),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9, None),
        ({"max_tokens": None}, 100, 100),
        ({"n": 3}, 300, 100),
        ({"n": 3, "max_tokens": 5}, 15, None),
    ],
)
async def test_the_output_of_chats(fields: dict[str, Any], output: int, added: int | None) -> None:
    made = await bound(request(messages=HELLO, **fields), default=100)
    assert (made.output, made.added) == (output, added)


async def test_the_output_of_completions_counts_what_is_thrown_away() -> None:
    made = await bound(request(COMPLETIONS, prompt="x", max_tokens=5, n=1, best_of=4))
    assert made.output == 20
    assert (await bound(request(COMPLETIONS, prompt=["x", "y"], max_tokens=5))).output == 10


@pytest.mark.parametrize(("model", "most"), [("gpt-4o", IMAGE_MOST), ("gpt-4o-mini", SMALL_MODEL_IMAGE_MOST)])
async def test_an_image_is_bounded_by_itself_and_not_by_its_bytes(model: str, most: int) -> None:
    url = "data:image/png;base64," + base64.b64encode(bytes(300_000)).decode()
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": url}}]
    made = await bound(request(messages=[{"role": "user", "content": parts}]), model)
    assert most < made.prompt < most + 200


async def test_documents_are_bounded_by_their_length() -> None:
    url = "data:application/pdf;base64," + base64.b64encode(bytes(30_000)).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    made = await bound(request(messages=[{"role": "user", "content": parts}]))
    assert 10_000 <= made.prompt < 11_000


async def test_tools_and_schemas_are_part_of_the_prompt() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d " * 50, "parameters": {}}}
    bare = await bound(request(messages=HELLO))
    with_tools = await bound(request(messages=HELLO, tools=[tool]))
    assert with_tools.prompt > bare.prompt + 100
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    assert (await bound(request(messages=HELLO, response_format=schema))).prompt > bare.prompt


TARIFF = Tariff(
    (
        (0, {"prompt": 100, "cached_prompt": 10, "cache_write_5m": 125, "completion": 400, "reasoning": 500}),
        (1000, {"prompt": 200, "completion": 800}),
    )
)


def test_the_worst_is_every_token_at_its_dearest() -> None:
    plain = request(messages=HELLO)
    assert worst_cost(TARIFF, Bound(100, 10, None), plain) == (100 * 100 + 10 * 500) // 1000
    cached = request(messages=[{"role": "user", "content": "x", "cache_control": {"type": "ephemeral"}}])
    assert worst_cost(TARIFF, Bound(1000, 0, None), cached) == 1000 * 200 // 1000
    assert worst_cost(TARIFF, Bound(100, 0, None), cached) == 12  # 12.5, halves to the even one
    assert worst_cost(TARIFF, Bound(1000, 10, None), plain) == (1000 * 200 + 10 * 800) // 1000


texts = st.text(max_size=60)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "assistant"]), "content": texts}),
    min_size=1,
    max_size=4,
)


@given(messages, st.sampled_from(["gpt-4o", "llama-3", "gemini-2.5-pro"]))
@settings(max_examples=60, deadline=None)
async def test_no_prompt_is_longer_than_its_bound(told: list[dict[str, Any]], model: str) -> None:
    made = request(messages=told)
    counted = await COUNTER.count(prompt_of(made), "gpt-4o")
    assert (await bound(made, model)).prompt >= counted


URL = {"type": "document", "source": {"type": "url", "url": "https://hive.example/bees.pdf"}}


async def test_a_file_that_only_the_provider_fetches_may_fill_the_window() -> None:
    said = [{"role": "user", "content": [URL, {"type": "text", "text": "hi"}]}]
    made = request(MESSAGES, messages=said, max_tokens=10)
    assert (await bound_of(made, "claude-sonnet-4", 4096, COUNTER, 50_000)).prompt == 50_000
    assert (await bound_of(made, "claude-sonnet-4", 4096, COUNTER)).prompt == WINDOW_MOST
    cached = request(GENERATE, contents="hi", cachedContent="cachedContents/x")
    assert (await bound_of(cached, "gemini-2.5-pro", 4096, COUNTER)).prompt == WINDOW_MOST


async def test_a_mark_for_the_whole_prompt_makes_it_dearer() -> None:
    tariff = Tariff.of([("prompt", 3_000_000, 0), ("cache_write_1h", 6_000_000, 0), ("completion", 0, 0)])
    plain = request(MESSAGES, messages=HELLO, max_tokens=10)
    marked = request(
        MESSAGES, messages=HELLO, max_tokens=10, cache_control={"type": "ephemeral", "ttl": "1h"}
    )
    most = await bound(plain, "claude-sonnet-4")
    assert worst_cost(tariff, most, marked) == 2 * worst_cost(tariff, most, plain)


def test_what_others_have_decoded_is_counted_as_it_stands_in_the_body() -> None:
    made = request(messages=HELLO, prompt="more")
    counted = prompt_of(made)
    made.decoded = {"prompt": "more"}
    assert prompt_of(made) == counted and made.decoded == {}
    made.decoded = {"prompt": "less"}
    made.replace({"messages": msgspec.Raw(b'[{"role":"user","content":"hello world"}]')})
    assert prompt_of(made) == counted


def test_the_price_is_told_by_words_that_stand_beside_large_images() -> None:
    tariff = Tariff.of([("prompt", 1_000_000, 0), ("completion", 0, 0), ("audio_in", 5_000_000, 0)])
    image = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + "A" * 1000 + "audio" * 1000},
    }
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 10_000, "format": "wav"}}
    bound = Bound(100, 0, None)
    silent = request(messages=[{"role": "user", "content": [image, image]}])
    heard = request(messages=[{"role": "user", "content": [image, sound, image]}])
    assert worst_cost(tariff, bound, heard) == 5 * worst_cost(tariff, bound, silent)


@pytest.mark.parametrize(
    ("told", "is_plain"),
    [
        ([{"role": "system", "content": "ö"}, {"content": "role", "role": "user"}], True),
        ([*HELLO, {"role": "user", "content": [{"type": "text", "text": "hi"}]}], False),
        ([*HELLO, {"role": "user", "content": "hi", "name": "bee"}], False),
        ([*HELLO, {"content": "hi", "name": "bee"}], False),
        ([*HELLO, {"role": None, "content": "hi"}], False),
    ],
)
def test_what_the_guards_have_read_is_counted_as_it_stands_in_the_body(
    told: list[dict[str, Any]], is_plain: bool
) -> None:
    made = request(messages=told)
    counted = prompt_of(made)
    document = request_texts(CHAT, made.fields, made.messages)["messages"]
    assert document.is_plain == is_plain
    if is_plain:
        made.spoken = document.slots
        made.let_go()
        assert made.spoken is None and prompt_of(made) == counted
        made.spoken = document.slots
        assert prompt_of(made) == counted
        document.slots[0].put("[X_1]")  # what was taken out is not counted
        changed = request(messages=[{"role": "system", "content": "[X_1]"}, told[1]])
        assert prompt_of(made) == prompt_of(changed)
