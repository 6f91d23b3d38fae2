"""The models that a key may use: listed, retrieved, refused."""

from __future__ import annotations

import openai
import pytest

from hive_testing.gateway import Door, Gateway, eventually
from hive_testing.simulator import SimulatorThread

SLASHED = "gemini/gemini-2.5-pro"
OF_THE_FILE = {"gpt-4o", "backup", SLASHED, "gpt-3.5-turbo-instruct", "text-embedding-3-small"}


def listed(gateway: Gateway, key: str) -> set[str]:
    with gateway.client(api_key=key) as client:
        return {model.id for model in client.models.list()}


def test_the_list(client: openai.OpenAI) -> None:
    models = client.models.list().data

    ids = [model.id for model in models]
    assert ids == sorted(ids) and set(ids) >= OF_THE_FILE | {"local/smollm2-135m"}
    assert all(model.object == "model" and model.owned_by and model.created > 0 for model in models)


def test_the_lists_form(gateway: Gateway) -> None:
    answer = gateway.public.ask("GET", "/v1/models")

    assert answer.json["object"] == "list"
    assert all({"id", "object", "created", "owned_by"} <= model.keys() for model in answer.json["data"])


@pytest.mark.parametrize("id", ["gpt-4o", SLASHED])
def test_one_model(client: openai.OpenAI, id: str) -> None:
    """The SDK sends the slash as %2F."""
    model = client.models.retrieve(id)

    assert (model.id, model.object) == (id, "model")


@pytest.mark.parametrize("path", [SLASHED, SLASHED.replace("/", "%2F"), SLASHED.replace("/", "%2f")])
def test_a_slash_plain_and_encoded(gateway: Gateway, path: str) -> None:
    for prefix in ("/v1", ""):
        assert gateway.public.ask("GET", f"{prefix}/models/{path}").json["id"] == SLASHED


def test_an_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")

    assert (str(caught.value.code), caught.value.type) == ("404", "not_found_error")


def test_a_key_with_fewer_models(gateway: Gateway, simulator: SimulatorThread) -> None:
    key = gateway.add_key(models=["gpt-4o", SLASHED])["key"]

    assert listed(gateway, key) == {"gpt-4o", SLASHED}
    with gateway.client(api_key=key) as client:
        assert client.models.retrieve(SLASHED).id == SLASHED
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])


def test_nothing_tells_a_forbidden_model_from_an_unknown_one(
    gateway: Gateway, simulator: SimulatorThread
) -> None:
    door = Door(gateway.url, gateway.add_key(models=["gpt-4o"])["key"])
    messages = [{"role": "user", "content": "hi"}]

    def told(name: str) -> list[str]:
        chat = door.ask("POST", "/v1/chat/completions", {"model": name, "messages": messages})
        one = door.ask("GET", f"/v1/models/{name}")
        assert (chat.status, one.status) == (404, 404)
        return [str(answer.error).replace(name, "it") for answer in (chat, one)]

    assert told("backup") == told("no-such-model")
    assert simulator.calls == []


def test_a_tenants_models_and_a_keys_models_are_intersected(gateway: Gateway) -> None:
    gateway.admin("POST", "/tenants", {"id": "intersected", "models": ["gpt-4o", "backup"]})
    narrow = gateway.add_key("intersected", ["backup", SLASHED])["key"]
    wide = gateway.add_key("intersected")["key"]

    assert listed(gateway, narrow) == {"backup"}
    assert listed(gateway, wide) == {"gpt-4o", "backup"}


def test_a_tenants_models_are_changed_while_it_runs(gateway: Gateway) -> None:
    gateway.admin("POST", "/tenants", {"id": "changing", "name": "Changing"})
    key = gateway.add_key("changing")["key"]
    assert listed(gateway, key) >= OF_THE_FILE

    gateway.admin("PUT", "/tenants/changing/models", {"models": ["backup"]})
    eventually(lambda: listed(gateway, key) == {"backup"})
    gateway.admin("PUT", "/tenants/changing/models", {"models": []})
    eventually(lambda: listed(gateway, key) == set())
    assert gateway.admin("GET", "/tenants/changing")["name"] == "Changing"


def test_a_model_comes_and_goes(gateway: Gateway, client: openai.OpenAI, simulator: SimulatorThread) -> None:
    name = gateway.add_model()
    answer = client.chat.completions.create(model=name, messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "Echo: hi"

    gateway.admin("DELETE", f"/models/{name}")
    gateway.everywhere(lambda: gateway.public.ask("GET", f"/v1/models/{name}").status == 404, "its end")
    assert name not in listed(gateway, gateway.key)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_other_methods(gateway: Gateway, method: str) -> None:
    answer = gateway.public.ask(method, "/v1/models", {})

    assert (answer.status, answer.error["code"]) == (405, 405)
