"""What operators do with guards and the cache beside a running gateway."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from hive_testing.gateway import COMMAND, Gateway

pytestmark = pytest.mark.embedded

SECRET = "my key is AKIAQ3ZK7WBN5XJ2MTLC, keep it"
DEFAULT = [("prompt-injection", "block", True, False), ("secrets", "redact", True, False)]
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def post(catalogue: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose tables are 100 characters wide."""
    with Gateway(tmp_path_factory.mktemp("post"), catalogue, COLUMNS="100") as running:
        yield running


@pytest.fixture
def tenant(post: Gateway) -> str:
    """A tenant of the test's own."""
    id = f"guarded-{next(NUMBERS)}"
    parsed(post, "tenants", "create", id, "--mode", "metered")
    return id


@pytest.fixture
def key(post: Gateway, tenant: str) -> str:
    return str(parsed(post, "keys", "create", "--tenant", tenant)["id"])


def parsed(gateway: Gateway, *arguments: str) -> Any:
    """What a command prints with --json."""
    done = gateway.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shown(gateway: Gateway, *arguments: str) -> str:
    """What a command prints for people, in lines that fit."""
    done = gateway.command(*arguments)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100, done.stdout
    return done.stdout


def rules(policy: dict[str, Any]) -> list[tuple[str, str, bool, bool]]:
    return [(each["name"], each["action"], each["input"], each["output"]) for each in policy["guards"]]


# Policies


def test_a_tenant_has_the_default_policy(post: Gateway, tenant: str) -> None:
    (found,) = parsed(post, "guard", "show", tenant)
    assert (found["default"], rules(found)) == (True, DEFAULT)
    page = shown(post, "guard", "show", tenant)
    assert "default" in page and "prompt-injection" in page and "redact" in page


def test_a_policy_is_changed_piece_by_piece(post: Gateway, tenant: str) -> None:
    change = ["guard", "set", tenant]
    after = parsed(
        post, *change, "--guard", "pii=block:input,output", "--lock", "secrets", "--threshold", "pii=0.5"
    )
    assert rules(after) == [*DEFAULT, ("pii", "block", True, True)]
    assert (after["locked"], after["guards"][2]["threshold"], after["default"]) == (["secrets"], 0.5, False)

    after = parsed(post, *change, "--guard", "pii=redact", "--remove", "prompt-injection")
    assert rules(after) == [DEFAULT[1], ("pii", "redact", True, True)]
    assert after["guards"][1]["threshold"] == 0.5
    after = parsed(post, *change, "--guard", "secrets=block:output", "--threshold", "pii=none")
    assert rules(after)[0] == ("secrets", "block", False, True)
    assert after["guards"][1]["threshold"] is None
    assert parsed(post, *change, "--unlock", "secrets")["locked"] == []
    assert post.admin("GET", f"/policies/{tenant}") == parsed(post, "guard", "show", tenant)[0]


def test_denied_words_bring_their_guard_along(post: Gateway, tenant: str) -> None:
    change = ["guard", "set", tenant]
    done = post.command(*change, "--deny", "Project Falcon", "--deny", "acme")
    assert done.returncode == 0 and "blocks now" in done.stderr
    assert f"Denied words of {tenant}: Project Falcon, acme" in done.stdout

    after = parsed(post, *change, "--deny", "ACME", "--deny", "bee", "--allow", "project falcon")
    assert after["denied_words"] == ["acme", "bee"]
    assert rules(after) == [*DEFAULT, ("denied-words", "block", True, False)]
    observed = parsed(post, *change, "--guard", "denied-words=observe", "--deny", "wasp")
    assert rules(observed)[2] == ("denied-words", "observe", True, False)


def test_what_is_so_already_makes_no_policy(post: Gateway, tenant: str) -> None:
    assert parsed(post, "guard", "set", tenant, "--guard", "secrets=redact")["default"] is True
    assert [each["id"] for each in parsed(post, "guard", "show") if each["tenant"] == tenant] == []


def test_a_key_begins_with_the_guards_of_its_tenant(post: Gateway, tenant: str, key: str) -> None:
    parsed(
        post, "guard", "set", tenant, "--remove", "prompt-injection", "--deny", "acme", "--lock", "secrets"
    )
    (found,) = parsed(post, "guard", "show", tenant, key)
    assert (found["inherited"], found["default"]) == (True, False)
    after = parsed(post, "guard", "set", tenant, "--key", key, "--guard", "toxicity=observe")
    names = [name for name, *_ in rules(after)]
    assert names == ["secrets", "denied-words", "toxicity"]
    assert (after["denied_words"], after["locked"], after["inherited"]) == ([], [], False)

    assert [each["id"] for each in parsed(post, "guard", "show", tenant)] == [tenant, f"{tenant}/{key}"]
    page = shown(post, "guard", "show", tenant)
    assert key in page and "toxicity" in page and "Denied words" in page
    done = post.command("guard", "show")
    assert tenant in done.stdout and key in done.stdout and "default policy" in done.stderr


def test_a_policy_is_reset(post: Gateway, tenant: str, key: str) -> None:
    parsed(post, "guard", "set", tenant, "--guard", "pii=redact")
    parsed(post, "guard", "set", tenant, "--key", key, "--guard", "toxicity=block")
    assert parsed(post, "guard", "reset", tenant, "--key", key)["deleted"] is True
    (found,) = parsed(post, "guard", "show", tenant, key)
    assert found["inherited"] is True and rules(found)[2][0] == "pii"
    assert "default policy" in shown(post, "guard", "reset", tenant)
    (found,) = parsed(post, "guard", "show", tenant)
    assert (found["default"], rules(found)) == (True, DEFAULT)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set", "default"], "Nothing to change"),
        (["set", "nobody", "--lock", "pii"], "There is no tenant 'nobody'"),
        (["set", "default", "--key", "key_none", "--lock", "pii"], "There is no API key 'key_none'"),
        (["set", "default", "--guard", "pii"], "secrets=redact"),
        (["set", "default", "--guard", "pii=block:"], "secrets=redact"),
        (["set", "default", "--guard", "pii=block:inputs"], "pii=block:input,output"),
        (["set", "default", "--guard", "pie=block"], "must be one of prompt-injection"),
        (["set", "default", "--guard", "pii=mask"], "must be one of block, redact, observe"),
        (["set", "default", "--guard", "toxicity=redact"], "toxicity cannot redact"),
        (["set", "default", "--lock", "everything"], "must be one of prompt-injection"),
        (["set", "default", "--threshold", "secrets=high"], "toxicity=0.8"),
        (["set", "default", "--threshold", "secrets=nan"], "toxicity=0.8"),
        (["set", "default", "--threshold", "toxicity=0.5"], "prompt-injection, secrets"),
        (["set", "default", "--remove", "pii"], "prompt-injection, secrets"),
        (["set", "default", "--allow", "bee"], "has nothing"),
        (["set", "default", "--unlock", "secrets"], "has nothing"),
        (["set", "default", "--deny", "x" * 201], "200 characters"),
        (["show", "nobody"], "There is no tenant 'nobody'"),
        (["show", "default", "key_none"], "There is no API key"),
        (["reset", "nobody"], "There is no tenant 'nobody'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_mistakes_with_policies_in_plain_words(post: Gateway, arguments: list[str], words: str) -> None:
    done = post.command("guard", *arguments)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and words in done.stderr and "Traceback" not in done.stderr
    assert post.admin("GET", "/policies/default")["default"] is True


def test_help_says_how_a_guard_is_written(post: Gateway) -> None:
    assert {"guard", "cache"} <= {*shown(post, "--help").split()}
    page = shown(post, "guard", "set", "--help")
    assert "secrets=redact" in page and "pii=block:input,output" in page and "x-hive-guard" in page
    for command in (["guard", "test"], ["guard", "show"], ["guard", "reset"], ["cache", "clear"]):
        assert "--json" in shown(post, *command, "--help")


# Cache terms


def test_how_long_answers_are_kept_for_a_tenant(post: Gateway, tenant: str) -> None:
    changed, *_ = parsed(post, "tenants", "set", tenant, "--cache-ttl", "600", "--cache-price", "50")
    assert changed["cache"] == {"ttl_seconds": 600, "price_percent": 50}
    listed = shown(post, "tenants", "list")
    assert "600 s" in listed and "at 50 %" in listed
    changed, *_ = parsed(post, "tenants", "set", tenant, "--cache-ttl", "none")
    assert changed["cache"] == {"ttl_seconds": None, "price_percent": 50}
    made, *_ = parsed(post, "tenants", "create", f"{tenant}-too", "--cache-ttl", "0")
    assert made["cache"] == {"ttl_seconds": 0, "price_percent": 0}
    assert "off" in shown(post, "tenants", "list")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--cache-ttl", "an hour", "3600"),
        ("--cache-ttl", "-1", "3600"),
        ("--cache-ttl", "99999999999", "cache.ttl_seconds"),
        ("--cache-price", "101", "100"),
    ],
)
def test_mistakes_with_the_cache_in_plain_words(post: Gateway, option: str, value: str, words: str) -> None:
    done = post.command("tenants", "set", "default", f"{option}={value}")
    assert done.returncode in (1, 2) and done.stdout == ""
    assert words in done.stderr and "Traceback" not in done.stderr


# What needs guardrails


def test_guards_look_at_a_text(post: Gateway) -> None:
    found = {each["guard"]: each for each in parsed(post, "guard", "test", SECRET)}
    assert found.keys() == {"prompt-injection", "secrets", "pii", "toxicity", "denied-words"}
    secrets = found["secrets"]
    assert (secrets["verdict"], found["toxicity"]["verdict"]) == ("finding", "clean")
    (finding,) = secrets["findings"]
    assert "AKIAQ3ZK7WBN5XJ2MTLC" in SECRET[finding["start"] : finding["end"]]
    assert secrets["score"] >= secrets["threshold"] > 0
    assert secrets["version"] and secrets["microseconds"] >= 0

    page = shown(post, "guard", "test", SECRET, "--guards", "secrets,toxicity")
    assert "AKIAQ3ZK7WBN5XJ2MTLC" in page and "clean" in page and "denied-words" not in page


def test_guards_look_at_what_comes_on_standard_input(post: Gateway) -> None:
    port = post.internal_url.rpartition(":")[2]
    done = subprocess.run(
        [COMMAND, "guard", "test", "-", "--guards", "secrets", "--json"],
        env=post.environment | {"HIVE_INTERNAL_PORT": port},
        input=SECRET,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["verdict"] == "finding"


def test_guards_know_the_denied_words_of_tenant_and_key(post: Gateway, tenant: str, key: str) -> None:
    parsed(post, "guard", "set", tenant, "--deny", "falcon")
    parsed(post, "guard", "set", tenant, "--key", key, "--deny", "heron")
    asked = ["guard", "test", "a falcon and a heron", "--guards", "denied-words"]

    def words(*whose: str) -> int:
        (found,) = parsed(post, *asked, *whose)
        return len(found["findings"])

    assert words() == 0
    assert words("--tenant", tenant) == 1
    assert words("--tenant", tenant, "--key", key) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bee", "--guards", "secrets,pie"], "guards[1]"),
        (["bee", "--tenant", "nobody"], "There is no tenant 'nobody'"),
        (["", "--guards", "pii"], "text: must not be empty"),
    ],
)
def test_a_test_that_is_none_is_refused(post: Gateway, arguments: list[str], words: str) -> None:
    done = post.command("guard", "test", *arguments)
    assert done.returncode == 1 and done.stdout == "" and words in done.stderr


# What needs routing's cache


def test_the_cache_is_shown_and_cleared(post: Gateway, tenant: str) -> None:
    found = parsed(post, "cache", "stats")
    assert found["entries"] >= 0 and found["bytes"] <= found["max_bytes"]
    assert "entries" in shown(post, "cache", "stats")
    assert parsed(post, "cache", "clear", "--tenant", tenant)["cleared"] == 0
    assert f"Cleared 0 answers of tenant {tenant}." in shown(post, "cache", "clear", "--tenant", tenant)
    parsed(post, "cache", "clear")
    assert parsed(post, "cache", "stats")["entries"] == 0
    done = post.command("cache", "clear", "--tenant", "nobody&tenant=default")
    assert done.returncode == 1 and "There is no tenant" in done.stderr
