"""Providers and models through the admin API: what is kept, what others hear, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from hive_runtime.sealing import SealingKey

NOW = 1_790_000_000
SECRET = "sk-upstream-very-secret"
PROVIDER = {"name": "acme", "kind": "openai", "base_url": "https://api.acme.test/v1/", "api_key": SECRET}
MODEL = {
    "id": "vendor/some-model:1b",
    "deployments": [{"provider": "acme", "model": "some-model"}],
    "price": {"prompt": "2.50", "completion": "10.00", "per": 1_000_000},
}
USUAL = {"order": 0, "region": None, "rpm": None, "tpm": None}


async def test_a_provider_is_kept_without_showing_its_credential(desk: Any, sealing_key: SealingKey) -> None:
    made = await desk.ask("POST", "/providers", PROVIDER)
    assert made == {
        "id": "acme",
        "object": "provider",
        "name": "acme",
        "kind": "openai",
        "base_url": "https://api.acme.test/v1",
        "options": {},
        "has_api_key": True,
        "timeouts": {"connect": None, "first_byte": None, "idle": None, "total": None},
        "output_bound_field": None,
        "free": False,
        "enabled": True,
        "source": "api",
        "created_at": NOW,
    }
    assert (await desk.ask("GET", "/providers"))["data"] == [made]
    await desk.until(lambda records: "provider/acme" in records.now)
    record = desk.records.now["provider/acme"]
    assert sealing_key.open(record.provider.sealed_credential) == SECRET.encode()
    assert record.provider.base_url == "https://api.acme.test/v1"
    kept = b"".join(path.read_bytes() for path in desk.host.data_dir.glob("console.db*"))
    assert b"api.acme.test" in kept
    assert SECRET.encode() not in kept + record.SerializeToString()


async def test_a_provider_that_costs_nothing_says_so(desk: Any) -> None:
    assert (await desk.ask("POST", "/providers", {**PROVIDER, "free": True}))["free"] is True
    await desk.until(lambda records: records.now["provider/acme"].provider.free)
    assert (await desk.ask("PATCH", "/providers/acme", {"free": False}))["free"] is False
    await desk.until(lambda records: not records.now["provider/acme"].provider.free)


async def test_a_provider_changes_field_by_field(desk: Any, sealing_key: SealingKey) -> None:
    await desk.ask("POST", "/providers", {**PROVIDER, "timeouts": {"connect": 1, "idle": 2.5}})
    changed = await desk.ask("PATCH", "/providers/acme", {"output_bound_field": "max_completion_tokens"})
    assert changed["has_api_key"] is True
    assert changed["timeouts"] == {"connect": 1.0, "first_byte": None, "idle": 2.5, "total": None}
    await desk.until(lambda records: records.now["provider/acme"].provider.output_bound_field)
    heard = desk.records.now["provider/acme"].provider
    assert (heard.timeouts.idle, heard.timeouts.total) == (2.5, 0.0)
    assert sealing_key.open(heard.sealed_credential) == SECRET.encode()
    await desk.ask("PATCH", "/providers/acme", {"api_key": "another"})
    await desk.until(
        lambda records: (
            sealing_key.open(records.now["provider/acme"].provider.sealed_credential) == b"another"
        )
    )
    assert (await desk.ask("PATCH", "/providers/acme", {"api_key": None}))["has_api_key"] is False
    await desk.until(lambda records: not records.now["provider/acme"].provider.sealed_credential)


async def test_a_model_is_kept_and_announced(desk: Any) -> None:
    await desk.ask("POST", "/providers", PROVIDER)
    made = await desk.ask("POST", "/models", {**MODEL, "mode": "chat", "context_window": 8192})
    assert made == {
        "id": "vendor/some-model:1b",
        "object": "model",
        "deployments": [{"provider": "acme", "model": "some-model", "weight": 1, **USUAL}],
        "aliases": [],
        "fallbacks": [],
        "context_fallbacks": [],
        "routing": {
            "policy": "weighted",
            "region": None,
            "hedge": {"after_ms": None, "by_header": True},
            "mirror": None,
        },
        "price": {"prompt": "2.50", "completion": "10.00", "per": 1_000_000},
        "mode": "chat",
        "owned_by": "acme",
        "context_window": 8192,
        "created": NOW,
        "source": "api",
        "in_service": True,
    }
    for path in ("vendor/some-model:1b", "vendor%2Fsome-model:1b"):
        assert await desk.ask("GET", f"/models/{path}") == made
    await desk.until(lambda records: f"model/{MODEL['id']}" in records.now)
    model = desk.records.now[f"model/{MODEL['id']}"].model
    assert [(each.provider_id, each.model, each.weight) for each in model.deployments] == [
        ("acme", "some-model", 1)
    ]
    assert (dict(model.price.units), model.price.per) == (
        {"prompt": "2.50", "completion": "10.00"},
        1_000_000,
    )
    assert (model.owned_by, model.mode, model.context_window, model.created_unix) == (
        "acme",
        "chat",
        8192,
        NOW,
    )


async def test_a_model_changes_field_by_field(desk: Any) -> None:
    await desk.ask("POST", "/providers", PROVIDER)
    await desk.ask("POST", "/models", MODEL)
    path = f"/models/{MODEL['id']}"
    deployments = [
        {"provider": "acme", "model": "b", "weight": 3},
        {"provider": "acme", "model": "a", "weight": 0},
    ]
    changed = await desk.ask("PATCH", path, {"deployments": deployments})
    assert changed["deployments"] == [each | USUAL for each in deployments]
    assert changed["price"] == MODEL["price"]
    cleared = await desk.ask("PATCH", path, {"price": None, "owned_by": "someone"})
    assert (cleared["price"], cleared["owned_by"]) == (None, "someone")
    await desk.until(lambda records: not records.now[f"model/{MODEL['id']}"].model.HasField("price"))
    heard = desk.records.now[f"model/{MODEL['id']}"].model
    assert [(each.model, each.weight) for each in heard.deployments] == [("b", 3), ("a", 0)]


async def test_a_provider_that_is_switched_off_takes_its_models_out_of_service(desk: Any) -> None:
    await desk.ask("POST", "/providers", PROVIDER)
    await desk.ask("POST", "/providers", {**PROVIDER, "name": "other"})
    both = [{"provider": "acme", "model": "x"}, {"provider": "other", "model": "y"}]
    await desk.ask("POST", "/models", {"id": "one", "deployments": both[:1]})
    await desk.ask("POST", "/models", {"id": "both", "deployments": both, "fallbacks": ["one"]})
    await desk.until(lambda records: records.keys("model") == {"one", "both"})
    await desk.ask("PATCH", "/providers/acme", {"enabled": False})
    await desk.until(
        lambda records: records.keys("model") == {"both"} and records.keys("provider") == {"other"}
    )
    await desk.until(lambda records: len(records.now["model/both"].model.deployments) == 1)
    heard = desk.records.now["model/both"].model
    assert (heard.owned_by, list(heard.fallbacks)) == ("acme", [])
    assert (await desk.ask("GET", "/models/one"))["in_service"] is False
    assert len((await desk.ask("GET", "/models/both"))["deployments"]) == 2
    await desk.ask("PATCH", "/providers/acme", {"enabled": True})
    await desk.until(lambda records: records.keys("model") == {"one", "both"})
    await desk.until(lambda records: list(records.now["model/both"].model.fallbacks) == ["one"])


async def test_what_did_not_change_is_not_told_again(desk: Any) -> None:
    await desk.ask("POST", "/providers", PROVIDER)
    await desk.ask("POST", "/models", MODEL)
    await desk.until(lambda records: records.keys("model"))
    revision = desk.records.now["provider/acme"].revision
    await desk.ask("PATCH", f"/models/{MODEL['id']}", {"mode": "chat"})
    await desk.until(lambda records: records.now[f"model/{MODEL['id']}"].model.mode == "chat")
    assert desk.records.now["provider/acme"].revision == revision


async def test_a_provider_in_use_stays(desk: Any) -> None:
    await desk.ask("POST", "/providers", PROVIDER)
    await desk.ask("POST", "/models", MODEL)
    assert MODEL["id"] in (await desk.error("DELETE", "/providers/acme", status=409))["message"]
    await desk.ask("GET", "/providers/acme")
    answer = await desk.ask("DELETE", f"/models/{MODEL['id']}")
    assert answer == {"id": MODEL["id"], "object": "model.deleted", "deleted": True}
    assert (await desk.ask("DELETE", "/providers/acme"))["object"] == "provider.deleted"
    await desk.until(lambda records: not records.keys("model") and not records.keys("provider"))


async def test_a_fallback_in_use_stays(desk: Any) -> None:
    await desk.ask("POST", "/providers", PROVIDER)
    await desk.ask("POST", "/models", {**MODEL, "id": "second"})
    await desk.ask("POST", "/models", {**MODEL, "id": "first", "fallbacks": ["second"]})
    assert "'second'" in (await desk.error("DELETE", "/models/second", status=409))["message"]
    await desk.ask("PATCH", "/models/first", {"fallbacks": []})
    await desk.ask("DELETE", "/models/second")


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"kind": "opnai"}, "kind", "did you mean 'openai'?"),
        ({"kind": "zzzz"}, "kind", "docs/providers.md lists them"),
        ({"base_url": "ftp://x"}, "base_url", "must be a URL"),
        ({"options": {"region": 5}}, "options.region", "must be a text"),
        ({"options": {"region": " "}}, "options.region", "must not be blank"),
        ({"base_url": "https://me:pass@x.test/v1"}, "base_url", "use api_key"),
        ({"base_url": "https://x.test/v1?a=b"}, "base_url", "no '?'"),
        ({"base_url": ""}, "base_url", "must be a URL"),
        ({"name": "a/b"}, "name", "must be 1 to 64"),
        ({"api_key": " "}, "api_key", "must not be blank"),
        ({"timeouts": {"conect": 1}}, "timeouts.conect", "did you mean 'connect'?"),
        ({"timeouts": {"total": 0}}, "timeouts.total", "must be more than 0"),
        ({"output_bound_field": "max"}, "output_bound_field", "must be one of max_tokens"),
    ],
)
async def test_a_wrong_provider_is_refused(desk: Any, change: Any, param: str, words: str) -> None:
    error = await desk.error("POST", "/providers", {**PROVIDER, **change}, status=400)
    assert error["param"] == param
    assert words in error["message"]
    assert "pass" not in error["message"].replace("password", "")
    assert SECRET not in error["message"]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"kind": "compatible"}, "base_url is missing: a provider of kind 'compatible' needs one"),
        ({"kind": "azure"}, "base_url is missing: a provider of kind 'azure' needs one, or options.resource"),
        ({"kind": "vertex"}, "options.project is missing: a provider of kind 'vertex' needs it"),
        (
            {"kind": "azure", "options": {"resource": "a", "api_vrsion": "2024-10-21"}},
            "options.api_vrsion is no option of a provider of kind 'azure' (resource, api_version,",
        ),
        ({"kind": "gemini", "options": {"a": "b"}}, "options.a is no option of a provider of kind 'gemini'"),
        ({"kind": "azure", "options": {"resource": "a/b"}}, "options.resource cannot be 'a/b'"),
        (
            {"kind": "anthropic", "options": {"auth": "basic"}},
            "options.auth must be one of bearer (got 'basic')",
        ),
        ({"kind": "vllm", "options": {"speaks": "chat,chats"}}, "options.speaks must list some of chat,"),
    ],
)
async def test_what_a_kind_wants_to_know_is_checked(desk: Any, written: Any, words: str) -> None:
    error = await desk.error("POST", "/providers", {"name": "acme", **written}, status=400)
    assert words in error["message"]
    await desk.ask("POST", "/providers", {"name": "acme", "kind": "local"})
    error = await desk.error("PATCH", "/providers/acme", written, status=400)
    assert words in error["message"]
    assert error["param"] == words.split()[0]


async def test_others_hear_the_address_and_the_options_of_a_kind(desk: Any) -> None:
    made = await desk.ask(
        "POST",
        "/providers",
        {"name": "gcp", "kind": "vertex", "options": {"project": "p-1", "location": "europe-west4"}},
    )
    assert made["base_url"] == "https://europe-west4-aiplatform.googleapis.com"
    assert made["options"] == {"project": "p-1", "location": "europe-west4"}
    await desk.until(lambda records: "provider/gcp" in records.now)
    heard = desk.records.now["provider/gcp"].provider
    assert (heard.kind, heard.base_url, dict(heard.options)) == ("vertex", made["base_url"], made["options"])
    changed = await desk.ask("PATCH", "/providers/gcp", {"options": {"project": "p-1"}})
    assert changed["base_url"] == "https://aiplatform.googleapis.com"
    await desk.ask("POST", "/providers", {"name": "mistral", "kind": "mistral", "api_key": "k"})
    await desk.until(lambda records: "provider/mistral" in records.now)
    heard = desk.records.now["provider/mistral"].provider
    assert (heard.base_url, heard.output_bound_field) == ("https://api.mistral.ai/v1", "max_tokens")


async def test_a_credential_that_is_json_is_kept_on_one_line(desk: Any, sealing_key: SealingKey) -> None:
    key = '{\n  "type": "service_account",\n  "private_key": "-----BEGIN\\nabc\\n-----END"\n}\n'
    body = {"name": "gcp", "kind": "vertex", "options": {"project": "p"}, "api_key": key}
    await desk.ask("POST", "/providers", body)
    await desk.until(lambda records: "provider/gcp" in records.now)
    sealed = desk.records.now["provider/gcp"].provider.sealed_credential
    assert sealing_key.open(sealed) == (
        b'{"type":"service_account","private_key":"-----BEGIN\\nabc\\n-----END"}'
    )


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"id": "a b"}, "id", "must be up to 200"),
        ({"id": "a//b"}, "id", "between parts"),
        ({"deployments": []}, "deployments", "must not be empty"),
        ({"deployments": [{"provider": "acme"}]}, "deployments[0].model", "is missing"),
        (
            {"deployments": [{"provider": "amce", "model": "x"}]},
            "deployments[0].provider",
            "did you mean 'acme'?",
        ),
        (
            {"deployments": [{"provider": "acme", "model": "x", "weight": -1}]},
            "deployments[0].weight",
            "must be 0 or more (got -1)",
        ),
        (
            {"deployments": [{"provider": "acme", "model": "x", "wieght": 1}]},
            "deployments[0].wieght",
            "did you mean 'weight'?",
        ),
        ({"fallbacks": ["nothing"]}, "fallbacks[0]", "There is no model 'nothing'"),
        ({"fallbacks": ["vendor/some-model:1b"]}, "fallbacks[0]", "its own fallback"),
        ({"price": {"prompt": 2.5, "per": 1000}}, "price.prompt", 'with the quotes: "2.5"'),
        ({"price": {"prompt": "1e-3", "per": 1000}}, "price.prompt", "decimal string"),
        ({"price": {"prompt": "-1", "per": 1000}}, "price.prompt", "decimal string"),
        ({"price": {"prompt": "2.50"}}, "price.per", "is missing"),
        ({"price": {"prompt": "2.50", "per": 0}}, "price.per", "must be more than 0"),
        ({"price": {"per": 1000}}, "price", "names no unit"),
        ({"price": {"prompt": "0.0000001", "per": 1_000_000}}, "price", "finer than a pico-dollar"),
        ({"price": {"promt": "2.50", "per": 1000}}, "price.promt", "did you mean 'prompt'?"),
        ({"mode": "chta"}, "mode", "did you mean 'chat'?"),
        ({"context_window": "8192"}, "context_window", "must be a whole number"),
    ],
)
async def test_a_wrong_model_is_refused(desk: Any, change: Any, param: str, words: str) -> None:
    await desk.ask("POST", "/providers", PROVIDER)
    error = await desk.error("POST", "/models", {**MODEL, **change}, status=400)
    assert error["param"] == param
    assert words in error["message"]
    await desk.error("GET", f"/models/{MODEL['id']}", status=404)


async def test_names_are_taken_once(desk: Any) -> None:
    await desk.ask("POST", "/providers", PROVIDER)
    await desk.ask("POST", "/models", MODEL)
    assert (await desk.error("POST", "/providers", PROVIDER, status=409))["param"] == "name"
    assert (await desk.error("POST", "/models", MODEL, status=409))["param"] == "id"


async def test_unknown_ones_are_not_found(desk: Any) -> None:
    for kind in ("providers", "models"):
        for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
            await desk.error(method, f"/{kind}/nothing", body, status=404)


async def test_pages_of_models_follow_each_other(desk: Any) -> None:
    await desk.ask("POST", "/providers", PROVIDER)
    ids = [f"vendor/{name}" for name in "dbca"]
    for id in ids:
        await desk.ask("POST", "/models", {**MODEL, "id": id})
    first = await desk.ask("GET", "/models?limit=3")
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (ids[:0:-1], True)
    rest = await desk.ask("GET", f"/models?limit=3&after={first['last_id']}")
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (ids[:1], False)
