"""Tenants: made, changed, restricted to models, deleted when nobody uses them."""

from __future__ import annotations

from typing import Any

import pytest

NOW = 1_790_000_000


async def test_the_default_tenant_is_there_from_the_start(desk: Any) -> None:
    found = (await desk.ask("GET", "/tenants"))["data"]
    assert [each["id"] for each in found] == ["default"]
    assert desk.records.now["tenant/default"].tenant.id == "default"


async def test_a_tenant_is_made_and_announced(desk: Any) -> None:
    made = await desk.ask("POST", "/tenants", {"id": "acme", "name": "Acme Inc.", "models": ["gpt-4o"]})
    assert made == {
        "object": "tenant",
        "id": "acme",
        "name": "Acme Inc.",
        "models": ["gpt-4o"],
        "disabled": False,
        "billing": {
            "mode": "prepaid",
            "strictness": "strict",
            "default_max_output": None,
            "caps": {"day_usd": None, "week_usd": None, "month_usd": None},
            "auto_recharge": None,
        },
        "cache": {"ttl_seconds": None, "price_percent": 0},
        "created_at": NOW,
    }
    assert await desk.ask("GET", "/tenants/acme") == made
    await desk.until(lambda records: "tenant/acme" in records.now)
    tenant = desk.records.now["tenant/acme"].tenant
    assert (tenant.name, list(tenant.models.ids), tenant.disabled) == ("Acme Inc.", ["gpt-4o"], False)


async def test_a_tenant_is_named_after_its_id(desk: Any) -> None:
    assert (await desk.ask("POST", "/tenants", {"id": "acme"}))["name"] == "acme"


async def test_an_id_is_taken_once(desk: Any) -> None:
    error = await desk.error("POST", "/tenants", {"id": "default"}, status=409)
    assert error["param"] == "id"


async def test_a_change_leaves_alone_what_it_does_not_name(desk: Any) -> None:
    await desk.ask("POST", "/tenants", {"id": "acme", "name": "Acme", "models": ["gpt-4o"]})
    changed = await desk.ask("PATCH", "/tenants/acme", {"disabled": True})
    assert (changed["name"], changed["models"], changed["disabled"]) == ("Acme", ["gpt-4o"], True)
    await desk.until(lambda records: records.now["tenant/acme"].tenant.disabled)
    assert (await desk.ask("PATCH", "/tenants/acme", {"models": None}))["models"] is None
    error = await desk.error("PATCH", "/tenants/acme", {"name": None}, status=400)
    assert error["param"] == "name"


async def test_the_models_of_a_tenant_are_set_and_cleared(desk: Any) -> None:
    assert (await desk.ask("PUT", "/tenants/default/models", {"models": ["a", "b/c"]}))["models"] == [
        "a",
        "b/c",
    ]
    await desk.until(lambda records: list(records.now["tenant/default"].tenant.models.ids) == ["a", "b/c"])
    assert (await desk.ask("PUT", "/tenants/default/models", {"models": None}))["models"] is None
    await desk.until(lambda records: not records.now["tenant/default"].tenant.HasField("models"))
    assert (await desk.error("PUT", "/tenants/default/models", {}, status=400))["param"] == "models"
    await desk.error("PUT", "/tenants/nobody/models", {"models": None}, status=404)


async def test_what_answers_are_kept_for_a_tenant(desk: Any) -> None:
    made = await desk.ask("POST", "/tenants", {"id": "acme", "cache": {"ttl_seconds": 600}})
    assert made["cache"] == {"ttl_seconds": 600, "price_percent": 0}
    await desk.until(lambda records: records.now["tenant/acme"].tenant.cache.ttl_seconds == 600)

    changed = await desk.ask("PATCH", "/tenants/acme", {"cache": {"price_percent": 50}})
    assert changed["cache"] == {"ttl_seconds": 600, "price_percent": 50}
    assert (await desk.ask("PATCH", "/tenants/acme", {"name": "Acme"}))["cache"] == changed["cache"]
    await desk.until(lambda records: records.now["tenant/acme"].tenant.name == "Acme")
    heard = desk.records.now["tenant/acme"].tenant.cache
    assert (heard.ttl_seconds, heard.price_percent) == (600, 50)


async def test_a_cache_that_is_off_is_not_one_that_is_left_to_the_deployment(desk: Any) -> None:
    await desk.ask("PATCH", "/tenants/default", {"cache": {"ttl_seconds": 0}})
    await desk.until(lambda records: records.now["tenant/default"].tenant.cache.HasField("ttl_seconds"))
    assert desk.records.now["tenant/default"].tenant.cache.ttl_seconds == 0
    await desk.ask("PATCH", "/tenants/default", {"cache": {"ttl_seconds": None}})
    await desk.until(lambda records: not records.now["tenant/default"].tenant.HasField("cache"))


@pytest.mark.parametrize(
    ("cache", "param"),
    [
        ({"ttl_seconds": -1}, "cache.ttl_seconds"),
        ({"ttl_seconds": 1.5}, "cache.ttl_seconds"),
        ({"ttl_seconds": 10**9}, "cache.ttl_seconds"),
        ({"price_percent": 101}, "cache.price_percent"),
        ({"price_percent": None}, "cache.price_percent"),
        ({"ttl": 5}, "cache.ttl"),
        (None, "cache"),
    ],
)
async def test_cache_terms_that_are_none_are_refused(desk: Any, cache: Any, param: str) -> None:
    error = await desk.error("PATCH", "/tenants/default", {"cache": cache}, status=400)
    assert error["param"] == param


async def test_a_tenant_without_live_keys_can_go_with_its_dead_ones(desk: Any, clock: Any) -> None:
    await desk.ask("POST", "/tenants", {"id": "acme"})
    revoked = await desk.ask("POST", "/keys", {"tenant": "acme"})
    expiring = await desk.ask("POST", "/keys", {"tenant": "acme", "expires_at": NOW + 10})
    error = await desk.error("DELETE", "/tenants/acme", status=409)
    assert revoked["id"] in error["message"]
    await desk.ask("DELETE", f"/keys/{revoked['id']}")
    await desk.error("DELETE", "/tenants/acme", status=409)
    clock.advance(11)
    answer = await desk.ask("DELETE", "/tenants/acme")
    assert answer == {"id": "acme", "object": "tenant.deleted", "deleted": True}
    gone = {"tenant/acme", f"key/{revoked['id']}", f"key/{expiring['id']}"}
    await desk.until(lambda records: not gone & set(records.now))
    await desk.error("GET", "/tenants/acme", status=404)
    await desk.error("GET", f"/keys/{expiring['id']}", status=404)


async def test_the_default_tenant_stays(desk: Any) -> None:
    assert "disabled" in (await desk.error("DELETE", "/tenants/default", status=409))["message"]


async def test_unknown_tenants_are_not_found(desk: Any) -> None:
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        await desk.error(method, "/tenants/nobody", body, status=404)
