"""The endpoints that ask no provider: the list of models, and the token counter."""

from __future__ import annotations

from typing import Any

import pytest

from hive_runtime.errors import Kind


async def test_models_are_listed_by_name(gateway: Any) -> None:
    await gateway.add_model("a/slashed", at=("sim:x",), context_window=128_000)
    for path in ("/v1/models", "/models"):
        answer = await gateway.request("GET", path)
        assert answer.status == 200
        assert answer.json["object"] == "list"
        assert [item["id"] for item in answer.json["data"]] == ["a/slashed", "gpt-4o"]
        assert (answer.json["first_id"], answer.json["last_id"]) == ("a/slashed", "gpt-4o")
        assert answer.json["has_more"] is False


async def test_a_model_has_what_both_kinds_of_clients_read(gateway: Any) -> None:
    await gateway.add_model("gpt-4o", at=("sim:x",), context_window=128_000)
    answer = await gateway.request("GET", "/v1/models/gpt-4o")
    assert answer.json == {
        "id": "gpt-4o",
        "object": "model",
        "created": 1715367049,
        "owned_by": "openai",
        "type": "model",
        "display_name": "gpt-4o",
        "created_at": "2024-05-10T18:50:49Z",
        "mode": "chat",
        "context_window": 128_000,
    }


async def test_a_restricted_key_sees_fewer_models(gateway: Any) -> None:
    await gateway.add_model("another")
    answer = await gateway.request("GET", "/v1/models", models=["another", "no-such"])
    assert [item["id"] for item in answer.json["data"]] == ["another"]
    empty = await gateway.request("GET", "/v1/models", models=[])
    assert empty.json == {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}


async def test_a_name_with_a_slash_is_found(gateway: Any) -> None:
    await gateway.add_model("gemini/gemini-2.5-pro")
    answer = await gateway.request("GET", "/v1/models/gemini/gemini-2.5-pro")
    assert answer.json["id"] == "gemini/gemini-2.5-pro"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_unknown_and_forbidden_models_are_not_found(gateway: Any, method: str) -> None:
    for name, models in (("no-such", None), ("gpt-4o", ["another"])):
        error = (await gateway.request(method, f"/v1/models/{name}", models=models)).error
        assert (error.kind, error.param) == (Kind.NOT_FOUND, "model")
        assert error.message == f"The model `{name}` does not exist or is not enabled for you."


async def test_a_base_model_cannot_be_deleted(gateway: Any) -> None:
    error = (await gateway.request("DELETE", "/v1/models/gpt-4o")).error
    assert error.kind is Kind.FORBIDDEN
    assert (await gateway.request("GET", "/v1/models/gpt-4o")).status == 200


async def test_wrong_methods_and_paths_are_told(gateway: Any) -> None:
    assert (await gateway.request("POST", "/v1/models")).error.kind is Kind.METHOD_NOT_ALLOWED
    error = (await gateway.request("GET", "/v1/nothing")).error
    assert error.kind is Kind.NOT_FOUND
    assert "not enabled on this deployment" in error.message


async def count(gateway: Any, **fields: Any) -> Any:
    body = {"model": "gpt-4o"} | fields
    return await gateway.request("POST", "/v1/utils/token_counter", body)


async def test_the_counters_answer_has_every_field(gateway: Any) -> None:
    for path in ("/v1/utils/token_counter", "/utils/token_counter"):
        answer = await gateway.request("POST", path, {"model": "gpt-4o", "prompt": "hello world"})
        assert answer.json == {
            "total_tokens": 2,
            "request_model": "gpt-4o",
            "model_used": "gpt-4o-real",
            "tokenizer_type": "local_tokenizer",
            "original_response": None,
            "error": False,
            "error_message": None,
            "status_code": None,
        }
    assert gateway.sim.total == 0


USER = {"role": "user", "content": "hello world"}


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"prompt": ""}, 0),
        ({"messages": []}, 3),
        ({"messages": [USER]}, 3 + 3 + 1 + 2),
        ({"messages": [USER | {"name": "bob"}]}, 3 + 3 + 1 + 2 + 1 + 1),
        ({"messages": [USER], "system": "hello world"}, 9 + 2),
        ({"messages": [USER], "system": [{"type": "text", "text": "hello world"}]}, 9 + 2),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hello world"}]}]}, 9),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            3 + 3 + 1 + 85,
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"function": {"name": "hello", "arguments": " world"}}],
                    }
                ]
            },
            3 + 3 + 1 + 2,
        ),
        ({"contents": [{"role": "user", "parts": [{"text": "hello"}, {"text": " world"}]}]}, 3 + 2),
        ({"prompt": "hello world", "tools": []}, 2),
    ],
)
async def test_what_is_counted(gateway: Any, fields: dict[str, Any], tokens: int) -> None:
    assert (await count(gateway, **fields)).json["total_tokens"] == tokens


async def test_tools_are_counted(gateway: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert (await count(gateway, prompt="x", tools=tools)).json["total_tokens"] > 10


async def test_families_have_their_own_tokenizers(gateway: Any) -> None:
    await gateway.add_model("old", at=("sim:gpt-3.5-turbo",))
    text = "Überraschung für alle 🐝🐝🐝 наконец"
    new = (await count(gateway, prompt=text)).json["total_tokens"]
    old = (await gateway.request("POST", "/v1/utils/token_counter", {"model": "old", "prompt": text})).json
    assert old["total_tokens"] > new


async def test_a_megabyte_is_counted_exactly(gateway: Any) -> None:
    assert (await count(gateway, prompt="hello world" + " hello world" * 100_000)).json[
        "total_tokens"
    ] == 200_002


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"messages": "hi"}, "messages"),
        ({"prompt": "x", "system": 5}, "system"),
        ({"model": 5, "prompt": "x"}, "model"),
    ],
)
async def test_wrong_bodies_are_refused(gateway: Any, fields: dict[str, Any], param: str) -> None:
    error = (await count(gateway, **fields)).error
    assert (error.kind, error.param) == (Kind.INVALID, param)


async def test_only_enabled_models_are_counted_for(gateway: Any) -> None:
    error = (await count(gateway, model="no-such", prompt=5)).error
    assert (error.kind, error.param) == (Kind.NOT_FOUND, "model")
