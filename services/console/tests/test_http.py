"""What holds for every route of the admin API: the token, the form of errors, pages."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("path", ["/tenants", "/keys/key_x", "/models/a/b", "/nothing/here"])
@pytest.mark.parametrize("value", [None, "Bearer wrong", "Basic YWRtaW4=", "", "Bearer ", "Bearer \xff"])
async def test_nobody_passes_without_the_token(desk: Any, path: str, value: str | None) -> None:
    headers = {} if value is None else {"authorization": value.encode("latin-1")}
    desk.client.headers.pop("authorization")
    answer = await desk.client.post(f"/api/admin{path}", headers=headers, content=b"{not json")
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.json()["error"]["code"] == 401


async def test_the_scheme_of_the_token_is_read_as_http_says(desk: Any) -> None:
    desk.client.headers["authorization"] = f"bearer  {desk.console.admin_token}"
    await desk.ask("GET", "/tenants")


async def test_unknown_paths_and_methods(desk: Any) -> None:
    assert (await desk.error("GET", "/nothing", status=404))["type"] == "not_found_error"
    await desk.error("GET", "/tenants/", status=404)
    assert "PUT" in (await desk.error("PUT", "/tenants", {}, status=405))["message"]
    await desk.error("POST", "/models/a/b", {}, status=405)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b"null"])
async def test_a_body_that_is_no_object_is_refused(desk: Any, content: bytes) -> None:
    answer = await desk.client.post("/api/admin/tenants", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_body_has_a_bound(desk: Any) -> None:
    answer = await desk.client.post("/api/admin/tenants", content=b'{"id": "' + b"x" * 1_100_000 + b'"}')
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == 413


async def test_unknown_fields_are_named(desk: Any) -> None:
    error = await desk.error("POST", "/keys", {"tenant": "default", "modles": None}, status=400)
    assert error["param"] == "modles"
    assert error["message"] == "modles: unknown key; did you mean 'models'?"


async def test_all_that_is_wrong_is_told_at_once(desk: Any) -> None:
    error = await desk.error(
        "POST", "/tenants", {"id": "a b", "disabled": "yes", "models": "all"}, status=400
    )
    for words in ("id: must be 1 to 64", "disabled: must be true or false", "models: must be a list"):
        assert words in error["message"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=no", "after"),
    ],
)
async def test_a_wrong_page_is_refused(desk: Any, query: str, param: str) -> None:
    for kind in ("tenants", "keys", "providers", "models"):
        assert (await desk.error("GET", f"/{kind}?{query}", status=400))["param"] == param


@pytest.mark.parametrize(("order", "step"), [("asc", 1), ("desc", -1)])
async def test_pages_follow_each_other_to_the_end(desk: Any, order: str, step: int) -> None:
    ids = ["default", *(f"tenant-{n}" for n in (5, 3, 4, 1, 2))]
    for id in ids[1:]:
        await desk.ask("POST", "/tenants", {"id": id})
    found, after = [], ""
    for _ in range(10):
        page = await desk.ask("GET", f"/tenants?limit=4&order={order}{after}")
        assert (page["object"], page["first_id"], page["last_id"]) == (
            "list",
            page["data"][0]["id"],
            page["data"][-1]["id"],
        )
        found += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert found == ids[::step]


async def test_an_empty_list_has_no_ends(desk: Any) -> None:
    assert await desk.ask("GET", "/models") == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
