"""What is there after a start: the default tenant, a key, what the sources give, and all of it told anew."""

from __future__ import annotations

import hashlib
import stat
from typing import Any

import pytest

from hive_console.admin_token import NoAdminToken
from hive_console.configuration import ConfigurationError
from hive_runtime.sealing import SealingError, SealingKey, load_or_create

BOOTSTRAP_KEY = "sk-hive-bootstrap-of-the-tests"
FILE = """
providers:
  - {name: acme, kind: openai, base_url: "https://acme.test/v1", api_key: "${ACME_KEY}"}
models:
  - {id: one, deployments: [{provider: acme, model: a}], price: {prompt: "1", per: 1000}}
  - {id: two, deployments: [{provider: acme, model: b}], fallbacks: [one]}
"""
ACME = {"ACME_KEY": "acme-secret"}


def holds(desk: Any, secret: str) -> bool:
    """Whether the other services would let this key in."""
    known = {record.api_key.sha256 for key, record in desk.records.now.items() if key.startswith("key/")}
    return hashlib.sha256(secret.encode()).digest() in known


# Keys


async def test_the_first_start_makes_a_key_and_later_ones_do_not(start: Any) -> None:
    async with start(bootstrap_key=None) as desk:
        first = desk.console.first_key
        assert first.startswith("sk-hive-")
        assert holds(desk, first)
        assert first not in repr(desk.console)
    async with start(bootstrap_key=None) as desk:
        assert desk.console.first_key is None
        assert holds(desk, first)


async def test_no_key_is_made_again_after_the_last_was_revoked(start: Any) -> None:
    async with start(bootstrap_key=None) as desk:
        (key,) = (await desk.ask("GET", "/keys"))["data"]
        await desk.ask("DELETE", f"/keys/{key['id']}")
    async with start(bootstrap_key=None) as desk:
        assert desk.console.first_key is None
        assert desk.records.keys("key") == set()
        assert (f"key/{key['id']}", None) in desk.records.story


async def test_the_bootstrap_key_is_valid_after_every_start(start: Any, clock: Any) -> None:
    async with start() as desk:
        assert desk.console.first_key is None
        assert holds(desk, BOOTSTRAP_KEY)
        (key,) = (await desk.ask("GET", "/keys"))["data"]
        assert (key["tenant"], key["last_four"]) == ("default", "ests")
        await desk.ask("DELETE", f"/keys/{key['id']}")
        await desk.until(lambda records: not records.keys("key"))
    async with start() as desk:
        assert holds(desk, BOOTSTRAP_KEY)
        assert len((await desk.ask("GET", "/keys"))["data"]) == 1


async def test_a_new_bootstrap_key_takes_the_place_of_the_former(start: Any) -> None:
    async with start():
        pass
    async with start(bootstrap_key="sk-hive-another-one") as desk:
        assert holds(desk, "sk-hive-another-one")
        assert not holds(desk, BOOTSTRAP_KEY)


async def test_a_key_of_the_api_can_become_the_bootstrap_key(start: Any, clock: Any) -> None:
    async with start() as desk:
        body = {"tenant": "default", "expires_at": int(clock.time) + 5}
        made = await desk.ask("POST", "/keys", body)
        await desk.ask("DELETE", f"/keys/{made['id']}")
    clock.advance(10)
    async with start(bootstrap_key=made["key"]) as desk:
        assert holds(desk, made["key"])
        key = await desk.ask("GET", f"/keys/{made['id']}")
        assert (key["revoked"], key["expires_at"]) == (False, None)


@pytest.mark.parametrize("value", ["with a space in it", "not-ascii-é-at-all", "line\nbreak-in-it"])
async def test_a_bootstrap_key_that_nobody_can_send_is_refused(start: Any, value: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII characters") as error:
        async with start(bootstrap_key=value):
            pass
    assert value not in str(error.value)


# The admin token and the sealing key


async def test_the_admin_token_is_made_once_for_its_owners_eyes(start: Any) -> None:
    async with start(admin_token=None) as desk:
        assert desk.console.admin_token_created
        path = desk.console.admin_token_path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().strip() == desk.console.admin_token
        token = desk.console.admin_token
    async with start(admin_token=None) as desk:
        assert not desk.console.admin_token_created
        assert desk.console.admin_token == token
        await desk.ask("GET", "/tenants")
    path.write_text("\n")
    with pytest.raises(NoAdminToken, match="is empty"):
        async with start(admin_token=None):
            pass


async def test_a_given_admin_token_leaves_no_file(start: Any) -> None:
    async with start() as desk:
        assert not desk.console.admin_token_created
        assert not desk.console.admin_token_path.exists()


async def test_the_sealing_key_is_made_once(start: Any) -> None:
    async with start(FILE, ACME, credentials_key=None) as desk:
        key = load_or_create(desk.host.data_dir / "credentials-key")
        sealed = desk.records.now["provider/acme"].provider.sealed_credential
        assert key.open(sealed) == b"acme-secret"


async def test_a_sealing_key_that_is_none_is_refused(start: Any) -> None:
    with pytest.raises(SealingError, match="not base64"):
        async with start(credentials_key="no key!"):
            pass


# The configuration file


async def test_the_file_is_announced_before_console_is_up(start: Any, sealing_key: SealingKey) -> None:
    async with start(FILE, ACME) as desk:
        assert desk.records.keys("model") == {"one", "two"}
        heard = desk.records.now["provider/acme"].provider
        assert sealing_key.open(heard.sealed_credential) == b"acme-secret"
        assert dict(desk.records.now["model/one"].model.price.units) == {"prompt": "1"}
        assert (await desk.ask("GET", "/providers/acme"))["source"] == "file"


async def test_each_start_brings_what_the_file_says_now(start: Any, clock: Any) -> None:
    async with start(FILE, ACME) as desk:
        first = await desk.ask("GET", "/models/one")
    clock.advance(1000)
    changed = FILE.replace("id: two", "id: three").replace('"1"', '"2"') + (
        "  - {id: four, deployments: [{provider: new, model: a}]}\n"
    )
    changed = changed.replace(
        "providers:", "providers:\n  - {name: new, kind: openai, base_url: 'http://n.test'}"
    )
    async with start(changed, ACME) as desk:
        assert desk.records.keys("model") == {"one", "three", "four"}
        assert ("model/two", None) in desk.records.story
        assert desk.records.keys("provider") == {"acme", "new"}
        second = await desk.ask("GET", "/models/one")
        assert second["price"] == {"prompt": "2", "per": 1000}
        assert second["created"] == first["created"]
        await desk.error("GET", "/models/two", status=404)
    async with start() as desk:
        assert desk.records.keys("model") == desk.records.keys("provider") == set()


async def test_what_the_file_gives_is_changed_in_the_file(start: Any) -> None:
    async with start(FILE, ACME) as desk:
        for path in ("/models/one", "/providers/acme"):
            for method, body in (("PATCH", {}), ("DELETE", None)):
                error = await desk.error(method, path, body, status=409)
                assert "comes from the configuration file modelhive.yaml; change it there" in error["message"]
        twin = {"id": "one", "deployments": [{"provider": "acme", "model": "x"}]}
        await desk.error("POST", "/models", twin, status=409)


async def test_the_file_hides_what_the_api_made_until_it_gives_the_name_up(start: Any, capsys: Any) -> None:
    mine = {"name": "acme", "kind": "openai", "base_url": "https://mine.test/v1"}
    async with start() as desk:
        await desk.ask("POST", "/providers", mine)
        await desk.ask(
            "POST", "/models", {"id": "one", "deployments": [{"provider": "acme", "model": "mine"}]}
        )
    async with start(FILE, ACME) as desk:
        assert desk.records.now["provider/acme"].provider.base_url == "https://acme.test/v1"
        assert (await desk.ask("GET", "/models/one"))["source"] == "file"
        assert len((await desk.ask("GET", "/models"))["data"]) == 2
    assert "model 'one' of the configuration file hides" in capsys.readouterr().out
    async with start() as desk:
        assert desk.records.now["provider/acme"].provider.base_url == "https://mine.test/v1"
        assert desk.records.now["model/one"].model.deployments[0].model == "mine"
        assert (await desk.ask("GET", "/models/one"))["source"] == "api"


async def test_a_provider_without_its_key_is_kept_but_out_of_service(start: Any) -> None:
    async with start(FILE) as desk:
        assert {("provider/acme", None), ("model/one", None)} <= {
            (key, message) for key, message in desk.records.story if message is None
        }
        assert desk.records.keys("model") == desk.records.keys("provider") == set()
        provider = await desk.ask("GET", "/providers/acme")
        assert (provider["enabled"], provider["has_api_key"]) == (False, False)
        assert (await desk.ask("GET", "/models/one"))["in_service"] is False


async def test_a_wrong_file_stops_the_start(start: Any) -> None:
    with pytest.raises(ConfigurationError, match="unknown key"):
        async with start(FILE + "model: []\n", ACME):
            pass


async def test_a_model_of_the_api_goes_out_of_service_with_the_files_provider(start: Any) -> None:
    body = {"id": "mine", "deployments": [{"provider": "acme", "model": "a"}]}
    async with start(FILE, ACME) as desk:
        await desk.ask("POST", "/models", body)
    async with start() as desk:
        assert desk.records.keys("model") == set()
        assert (await desk.ask("GET", "/models/mine"))["in_service"] is False


# Restart


async def test_everything_is_told_again_after_a_restart(start: Any) -> None:
    async with start(FILE, ACME) as desk:
        await desk.ask("POST", "/tenants", {"id": "acme", "models": ["one"]})
        made = await desk.ask("POST", "/keys", {"tenant": "acme"})
        await desk.until(lambda records: made["id"] in records.keys("key"))
        before = {key: record for key, record in desk.records.now.items() if not key.startswith("provider/")}
    async with start(FILE, ACME) as desk:
        assert desk.records.now.keys() == {*before, "provider/acme"}
        for key, record in before.items():
            again = desk.records.now[key]
            assert again.revision > record.revision
            again.revision = record.revision
            assert again == record


async def test_what_a_stopped_console_still_owed_is_told(start: Any) -> None:
    async with start() as desk:
        await desk.ask("POST", "/tenants", {"id": "acme"})
    async with start() as desk:
        assert "acme" in desk.records.keys("tenant")


# Found without being declared


async def test_a_variable_switches_a_known_provider_on(start: Any, sealing_key: SealingKey) -> None:
    environment = {
        "GROQ_API_KEY": "gsk",
        "OPENAI_API_KEY": "sk",
        "XAI_API_KEY": " ",
        "GEMINI_API_KEY": "a\nb",
    }
    async with start(None, environment, discover=True, ollama_url="http://127.0.0.1:1") as desk:
        assert desk.records.keys("provider") == {"groq", "openai"}
        models = desk.records.keys("model")
        assert {"gpt-4o", "text-embedding-3-small", "groq/llama-3.3-70b-versatile"} <= models
        assert desk.records.now["model/text-embedding-3-small"].model.mode == "embedding"
        openai = desk.records.now["provider/openai"].provider
        assert sealing_key.open(openai.sealed_credential) == b"sk"
        assert openai.output_bound_field == "max_completion_tokens"
        assert (await desk.ask("GET", "/providers/groq"))["source"] == "environment"
        assert "environment" in (await desk.error("DELETE", "/providers/groq", status=409))["message"]
    async with start(None, environment) as desk:
        assert desk.records.keys("provider") == desk.records.keys("model") == set()


async def test_what_is_made_through_the_api_wins_over_what_was_found(start: Any) -> None:
    settings: dict[str, Any] = {"discover": True, "ollama_url": "http://127.0.0.1:1"}
    async with start(None, {"OPENAI_API_KEY": "sk"}, **settings) as desk:
        body = {"id": "gpt-4o", "deployments": [{"provider": "openai", "model": "gpt-4.1"}]}
        assert (await desk.ask("POST", "/models", body))["source"] == "api"
        await desk.until(lambda records: records.now["model/gpt-4o"].model.deployments[0].model == "gpt-4.1")
    async with start(None, {"OPENAI_API_KEY": "sk"}, **settings) as desk:
        assert desk.records.now["model/gpt-4o"].model.deployments[0].model == "gpt-4.1"
        await desk.ask("DELETE", "/models/gpt-4o")
        await desk.until(lambda records: records.now["model/gpt-4o"].model.deployments[0].model == "gpt-4o")
        assert (await desk.ask("GET", "/models/gpt-4o"))["source"] == "environment"


async def test_the_built_in_models_can_be_switched_off(start: Any) -> None:
    async with start(local_models=True) as desk:
        assert desk.records.keys("provider") == {"local"}
        assert desk.records.keys("model") == {"local/smollm2-135m", "local/minilm-l6-v2"}
        chat = desk.records.now["model/local/smollm2-135m"].model
        assert (chat.mode, chat.deployments[0].model) == ("chat", "smollm2-135m")
        assert desk.records.now["model/local/minilm-l6-v2"].model.mode == "embedding"
        assert desk.records.now["provider/local"].provider.kind == "local"
        assert (await desk.ask("GET", "/models/local/smollm2-135m"))["source"] == "builtin"
        assert (
            "built in" in (await desk.error("PATCH", "/models/local/smollm2-135m", {}, status=409))["message"]
        )
    async with start() as desk:
        assert desk.records.keys("model") == set()
