"""What console does while something else is broken."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from hive_console.declarations import ModelDeclaration, ProviderDeclaration
from hive_console.http.guards import PolicyForm
from hive_console.tables import metadata
from hive_console.wire import NewKey, NewTenant

# As careless clients write it: with NaN, control characters and halves of surrogate pairs.
TEXT = st.text(st.characters(exclude_categories=()), max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    [
        name
        for form in (NewTenant, NewKey, PolicyForm, ProviderDeclaration, ModelDeclaration)
        for name in form.model_fields
    ]
)
ROUTES = st.sampled_from(
    [
        (method, path)
        for kind in ("tenants", "keys", "providers", "models")
        for method, path in (("POST", f"/{kind}"), ("PATCH", f"/{kind}/x"), ("PATCH", f"/{kind}/default"))
    ]
    + [("PUT", "/policies/default"), ("PATCH", "/policies/default/key_bootstrap")]
)


async def test_changes_are_taken_while_the_bus_is_away_and_told_when_it_is_back(
    desk: Any, clock: Any
) -> None:
    desk.host.bus.away = True
    await desk.ask("POST", "/tenants", {"id": "acme"})
    await desk.until(lambda _: "records wait" in desk.host.health.notes().get("console's outbox", ""))
    assert "acme" not in desk.records.keys("tenant")
    desk.host.bus.away = False
    await desk.until(lambda records: clock.advance(1) or "acme" in records.keys("tenant"))
    await desk.until(lambda _: not desk.host.health.notes())
    assert desk.host.health.complaints() == {}


async def test_a_failure_inside_tells_nothing_of_the_inside(desk: Any) -> None:
    with sqlite3.connect(desk.host.data_dir / "console.db") as database:
        database.execute("DROP TABLE deployments")
    with capture_logs() as logged:
        error = await desk.error("GET", "/models", status=500)
    assert "deployments" in str(logged[0]["exc_info"])
    assert error["type"] == "server_error"
    assert "deployments" not in error["message"]
    await desk.ask("GET", "/tenants")


async def test_the_migrations_make_the_tables_that_the_store_reads(desk: Any) -> None:
    engine = create_engine(f"sqlite:///{desk.host.data_dir}/console.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


@settings(
    max_examples=300,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(route=ROUTES, body=st.dictionaries(FIELDS, JSON, max_size=4))
async def test_no_body_is_answered_with_a_surprise(desk: Any, route: tuple[str, str], body: Any) -> None:
    method, path = route
    answer = await desk.client.request(method, f"/api/admin{path}", content=json.dumps(body).encode())
    assert answer.status_code in (200, 400, 404, 409), (answer.text, body)
    assert answer.status_code == 200 or answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/keys", {"tenant": "default", "expires_at": 2**62}, "expires_at"),
        ("/keys", {"tenant": "default", "expires_at": 10**30}, "expires_at"),
        ("/keys", {"tenant": "default", "expires_at": "tomorrow"}, "expires_at"),
        ("/models", {"id": "ms", "deployments": [], "created": 1764000000000}, "created"),
        ("/providers", {"name": "p", "kind": "openai", "base_url": "http://a..b/v1"}, "base_url"),
        ("/providers", {"name": "p", "kind": "openai", "base_url": "http://a/ü"}, "base_url"),
    ],
)
async def test_values_that_would_break_later_are_refused_now(
    desk: Any, path: str, body: dict[str, Any], named: str
) -> None:
    answer = await desk.client.post("/api/admin" + path, json=body)
    assert answer.status_code == 400 and named in answer.json()["error"]["message"]


async def test_a_secret_in_a_url_is_not_said_again(desk: Any) -> None:
    body = {"name": "p", "kind": "openai", "base_url": "https://x/v1?key=SECRET"}
    answer = await desk.client.post("/api/admin" + "/providers", json=body)
    assert answer.status_code == 400 and "SECRET" not in answer.text


async def test_half_a_character_is_no_json(desk: Any) -> None:
    raw = b'{"tenant": "default", "name": "\\ud800"}'
    answer = await desk.client.post("/api/admin" + "/keys", content=raw)
    assert answer.status_code == 400 and "not JSON" in answer.text


async def test_a_tenant_may_be_made_by_its_name_and_a_key_expire_at_a_moment(desk: Any) -> None:
    assert (await desk.ask("POST", "/tenants", {"name": "acme"}))["id"] == "acme"
    made = await desk.ask(
        "POST", "/keys", {"tenant": "acme", "name": None, "expires_at": "2030-01-01T00:00:00Z"}
    )
    assert (made["name"], made["expires_at"]) == ("", 1893456000)


async def test_one_timeout_is_changed_and_the_others_stay(desk: Any) -> None:
    body = {"name": "p", "kind": "openai", "base_url": "http://a/v1", "timeouts": {"idle": 1}}
    await desk.ask("POST", "/providers", body)
    await desk.ask("PATCH", "/providers/p", {"timeouts": {"connect": 2}})
    found = await desk.ask("GET", "/providers/p")
    assert (found["timeouts"]["idle"], found["timeouts"]["connect"]) == (1, 2)
    await desk.ask("PATCH", "/providers/p", {"timeouts": found["timeouts"] | {"idle": None}})
    assert (await desk.ask("GET", "/providers/p"))["timeouts"]["idle"] is None
