"""API keys: shown once, announced as a hash, refused everywhere as soon as they are revoked."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hive_console.service import MIGRATIONS
from hive_sql import migrate
from modelhive.control.v1.control_pb2 import ControlChanged

NOW = 1_790_000_000
LIMITS = ("rpm", "tpm", "concurrency")


def sha256(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


async def heard_by_a_newcomer(desk: Any) -> set[str]:
    """The keys that stand on the topic now."""
    records = type(desk.records)()
    subscription = await desk.host.bus.subscribe_state(ControlChanged, records.take)
    await subscription.caught_up()
    await subscription.close()
    return set(records.now)


async def test_a_key_that_callers_have_already(desk: Any) -> None:
    known = {"sha256": sha256("sk-of-another-gateway").hex(), "last_four": "eway"}
    made = await desk.ask("POST", "/keys", {"tenant": "default", "name": "old", "rpm": 5, **known})

    assert "key" not in made
    assert (made["last_four"], made["rpm"], made["budget"]) == ("eway", 5, None)
    assert "sha256" not in made
    await desk.until(lambda records: f"key/{made['id']}" in records.now)
    assert desk.records.now[f"key/{made['id']}"].api_key.sha256 == sha256("sk-of-another-gateway")


async def test_a_secret_belongs_to_one_key(desk: Any) -> None:
    body = {"tenant": "default", "sha256": sha256("sk-of-another-gateway").hex()}
    made = await desk.ask("POST", "/keys", body)

    again = await desk.ask("POST", "/keys", body, status=409)
    assert made["id"] in again["error"]["message"] and "'default'" in again["error"]["message"]
    await desk.ask("DELETE", f"/keys/{made['id']}")
    again = await desk.ask("POST", "/keys", body, status=409)
    assert "is revoked" in again["error"]["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"sha256": "0" * 63},
        {"sha256": "X" * 64},
        {"last_four": "abcd"},
        {"sha256": "0" * 64, "last_four": "abcde"},
    ],
)
async def test_a_hash_that_cannot_be_one(desk: Any, fields: dict[str, str]) -> None:
    answer = await desk.ask("POST", "/keys", {"tenant": "default", **fields}, status=400)

    assert any(name in answer["error"]["message"] for name in fields)


async def test_a_key_is_shown_once_and_announced_as_a_hash(desk: Any) -> None:
    made = await desk.ask("POST", "/keys", {"tenant": "default", "name": "laptop"})
    secret = made.pop("key")
    assert secret.startswith("sk-hive-")
    assert len(secret) == len("sk-hive-") + 43
    assert made == {
        "id": made["id"],
        "object": "api_key",
        "tenant": "default",
        "name": "laptop",
        "last_four": secret[-4:],
        "models": None,
        "expires_at": None,
        "rpm": None,
        "tpm": None,
        "concurrency": None,
        "budget": None,
        "caps": {"day_usd": None, "week_usd": None, "month_usd": None},
        "auto_recharge": None,
        "created_at": NOW,
        "revoked": False,
    }
    assert await desk.ask("GET", f"/keys/{made['id']}") == made
    await desk.until(lambda records: f"key/{made['id']}" in records.now)
    record = desk.records.now[f"key/{made['id']}"]
    assert record.api_key.sha256 == sha256(secret)
    assert record.api_key.tenant_id == "default"
    assert not record.api_key.HasField("models")
    assert not any(record.api_key.HasField(name) for name in ("expires_at_unix", *LIMITS))
    assert secret.encode() not in record.SerializeToString()


async def test_no_key_is_kept_in_the_database(desk: Any) -> None:
    made = await desk.ask("POST", "/keys", {"tenant": "default", "name": "laptop"})
    kept = b"".join(path.read_bytes() for path in desk.host.data_dir.glob("console.db*"))
    assert b"laptop" in kept
    assert made["key"].encode() not in kept


async def test_two_keys_differ(desk: Any) -> None:
    made = [await desk.ask("POST", "/keys", {"tenant": "default"}) for _ in range(5)]
    assert len({each["key"] for each in made}) == len({each["id"] for each in made}) == 5


async def test_restrictions_reach_the_others(desk: Any) -> None:
    body = {"tenant": "default", "models": ["gpt-4o", "gpt-4o", "ollama/llama3.2:1b"], "expires_at": NOW + 60}
    made = await desk.ask("POST", "/keys", body)
    assert made["models"] == ["gpt-4o", "ollama/llama3.2:1b"]
    await desk.until(lambda records: f"key/{made['id']}" in records.now)
    key = desk.records.now[f"key/{made['id']}"].api_key
    assert list(key.models.ids) == ["gpt-4o", "ollama/llama3.2:1b"]
    assert key.expires_at_unix == NOW + 60


async def test_an_empty_list_of_models_is_not_all(desk: Any) -> None:
    made = await desk.ask("POST", "/keys", {"tenant": "default", "models": []})
    await desk.until(lambda records: f"key/{made['id']}" in records.now)
    key = desk.records.now[f"key/{made['id']}"].api_key
    assert key.HasField("models")
    assert list(key.models.ids) == []


async def test_a_revoked_key_is_retired_at_once_and_stays_revoked(desk: Any) -> None:
    made = await desk.ask("POST", "/keys", {"tenant": "default"})
    place = f"key/{made['id']}"
    await desk.until(lambda records: place in records.now)
    answer = await desk.ask("DELETE", f"/keys/{made['id']}")
    assert answer == {"id": made["id"], "object": "api_key.deleted", "deleted": True}
    # It is on the topic before the answer is out, and no poll is waited for: the clock stands still.
    late = await heard_by_a_newcomer(desk)
    assert place not in late
    await desk.until(lambda records: place not in records.now)
    assert (place, None) in desk.records.story
    assert (await desk.ask("GET", f"/keys/{made['id']}"))["revoked"] is True
    assert await desk.ask("DELETE", f"/keys/{made['id']}") == answer
    error = await desk.error("PATCH", f"/keys/{made['id']}", {"name": "again"}, status=409)
    assert "revoked" in error["message"]


async def test_a_change_leaves_alone_what_it_does_not_name(desk: Any) -> None:
    body = {"tenant": "default", "name": "old", "models": ["gpt-4o"], "expires_at": NOW + 60}
    made = await desk.ask("POST", "/keys", body)
    changed = await desk.ask("PATCH", f"/keys/{made['id']}", {"name": "new"})
    assert (changed["name"], changed["models"], changed["expires_at"]) == ("new", ["gpt-4o"], NOW + 60)
    cleared = await desk.ask("PATCH", f"/keys/{made['id']}", {"models": None, "expires_at": None})
    assert (cleared["name"], cleared["models"], cleared["expires_at"]) == ("new", None, None)
    await desk.until(lambda records: not records.now[f"key/{made['id']}"].api_key.HasField("models"))


async def test_limits_are_set_changed_and_cleared_one_by_one(desk: Any) -> None:
    made = await desk.ask("POST", "/keys", {"tenant": "default", "rpm": 60, "tpm": 10**15, "concurrency": 1})
    place, path = f"key/{made['id']}", f"/keys/{made['id']}"
    changed = await desk.ask("PATCH", path, {"rpm": 30})
    assert [changed[name] for name in LIMITS] == [30, 10**15, 1]
    await desk.until(lambda records: records.now[place].api_key.rpm == 30)
    key = desk.records.now[place].api_key
    assert (key.tpm, key.concurrency) == (10**15, 1)

    cleared = await desk.ask("PATCH", path, {"rpm": None, "concurrency": None})
    assert [cleared[name] for name in LIMITS] == [None, 10**15, None]
    assert await desk.ask("GET", path) == cleared
    await desk.until(lambda records: not records.now[place].api_key.HasField("rpm"))
    key = desk.records.now[place].api_key
    assert key.tpm == 10**15 and not key.HasField("concurrency")


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, "60", True, 10**15 + 1, []])
async def test_a_limit_is_a_whole_number_from_one_on(desk: Any, name: str, value: Any) -> None:
    made = await desk.ask("POST", "/keys", {"tenant": "default", name: 5})
    for method, path, body in (
        ("POST", "/keys", {"tenant": "default"}),
        ("PATCH", f"/keys/{made['id']}", {}),
    ):
        error = await desk.error(method, path, {**body, name: value}, status=400)
        assert error["param"] == name and name in error["message"]
    assert (await desk.ask("GET", f"/keys/{made['id']}"))[name] == 5


async def test_keys_of_an_older_release_have_no_limits(start: Any, tmp_path: Path) -> None:
    older, data = tmp_path / "older", tmp_path / "data"
    (older / "versions").mkdir(parents=True)
    data.mkdir()
    shutil.copy(MIGRATIONS / "versions" / "0001_first_tables.py", older / "versions")
    await migrate(f"sqlite+aiosqlite:///{data}/console.db", older)
    with closing(sqlite3.connect(data / "console.db")) as database, database:
        database.execute("INSERT INTO tenants VALUES ('default', '', NULL, 0, 1, 1)")
        database.execute(
            "INSERT INTO api_keys VALUES ('key_old', 'default', 'old', x'00', 'abcd', NULL, NULL, 0, 1, 1)"
        )
    async with start() as desk:
        found = await desk.ask("PATCH", "/keys/key_old", {"tpm": 7})
        assert (found["name"], found["rpm"], found["tpm"]) == ("old", None, 7)


async def test_later_changes_have_higher_revisions(desk: Any) -> None:
    made = await desk.ask("POST", "/keys", {"tenant": "default"})
    place, revisions = f"key/{made['id']}", [0]
    for name in ("one", "two", "three"):
        await desk.ask("PATCH", f"/keys/{made['id']}", {"name": name})
        await desk.until(lambda records, name=name: records.now[place].api_key.name == name)
        revisions.append(desk.records.now[place].revision)
    assert revisions == sorted(set(revisions))


async def test_a_key_needs_a_tenant_that_is_there(desk: Any) -> None:
    error = await desk.error("POST", "/keys", {"tenant": "nobody"}, status=404)
    assert error["param"] == "tenant"
    assert "'nobody'" in error["message"]
    assert (await desk.error("POST", "/keys", {"name": "x"}, status=400))["param"] == "tenant"
    await desk.error("GET", "/keys?tenant=nobody", status=404)


async def test_a_key_cannot_begin_expired(desk: Any) -> None:
    error = await desk.error("POST", "/keys", {"tenant": "default", "expires_at": NOW}, status=400)
    assert error["param"] == "expires_at"


async def test_keys_are_listed_by_tenant(desk: Any) -> None:
    await desk.ask("POST", "/tenants", {"id": "acme"})
    made = [await desk.ask("POST", "/keys", {"tenant": "acme", "name": str(n)}) for n in range(3)]
    found = await desk.ask("GET", "/keys?tenant=acme&order=asc")
    assert [each["id"] for each in found["data"]] == [each["id"] for each in made]
    assert all("key" not in each for each in found["data"])
    assert len((await desk.ask("GET", "/keys"))["data"]) == 4


async def test_unknown_keys_are_not_found(desk: Any) -> None:
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        assert "key_none" in (await desk.error(method, "/keys/key_none", body, status=404))["message"]
