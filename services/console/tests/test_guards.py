"""Guard policies: set for tenants and keys, told, gone with whose they are; guards and the cache asked about."""

from __future__ import annotations

from typing import Any

import pytest

from hive_console.http.guards import LONGEST_WORD, MOST_WORDS
from hive_runtime.errors import HiveError, Kind
from modelhive.control.v1.control_pb2 import (
    GUARD_ACTION_BLOCK,
    GUARD_ACTION_OBSERVE,
    GUARD_ACTION_REDACT,
    GuardRule,
)
from modelhive.guardrails.v1 import guard_pb2 as guard
from modelhive.routing.v1 import cache_pb2 as cache

KEY = "key_bootstrap"
PII = {"name": "pii", "action": "redact", "input": True, "output": True, "threshold": 0.5}
WORDS = {"name": "denied-words", "action": "observe", "input": True, "output": False, "threshold": None}
POLICY = {"guards": [PII, WORDS], "denied_words": ["Project Falcon", "acme"], "locked": ["pii"]}
DEFAULT = [
    {"name": "prompt-injection", "action": "block", "input": True, "output": False, "threshold": None},
    {"name": "secrets", "action": "redact", "input": True, "output": False, "threshold": None},
]


def shown(id: str, policy: Any, **marks: bool) -> dict[str, Any]:
    tenant, _, key = id.partition("/")
    head = {"object": "guard_policy", "id": id, "tenant": tenant, "key": key or None}
    return {**head, "default": False, "inherited": False, **policy, **marks}


async def key_of_acme(desk: Any) -> str:
    await desk.ask("POST", "/tenants", {"id": "acme"})
    return str((await desk.ask("POST", "/keys", {"tenant": "acme"}))["id"])


# What holds


async def test_where_none_is_set_the_default_holds_and_is_told_to_nobody(desk: Any) -> None:
    nothing = {"guards": DEFAULT, "denied_words": [], "locked": []}
    assert await desk.ask("GET", "/policies/default") == shown("default", nothing, default=True)
    found = await desk.ask("GET", f"/policies/default/{KEY}")
    assert found == shown(f"default/{KEY}", nothing, default=True)
    assert (await desk.ask("GET", "/policies"))["data"] == []
    assert desk.records.keys("guard") == set()


async def test_a_policy_of_a_tenant_is_told_whole(desk: Any) -> None:
    assert await desk.ask("PUT", "/policies/default", POLICY) == shown("default", POLICY)
    assert await desk.ask("GET", "/policies/default") == shown("default", POLICY)
    await desk.until(lambda records: "guard/default" in records.now)
    told = desk.records.now["guard/default"].guard_policy
    assert (told.tenant_id, told.key_id) == ("default", "")
    assert list(told.rules) == [
        GuardRule(guard="pii", action=GUARD_ACTION_REDACT, input=True, output=True, threshold=0.5),
        GuardRule(guard="denied-words", action=GUARD_ACTION_OBSERVE, input=True),
    ]
    assert not told.rules[1].HasField("threshold")
    assert (list(told.denied_words), list(told.locked)) == (["Project Falcon", "acme"], ["pii"])


async def test_a_key_has_the_guards_of_its_tenant_until_it_has_its_own(desk: Any) -> None:
    await desk.ask("PUT", "/policies/default", POLICY)
    inherited = {"guards": POLICY["guards"], "denied_words": [], "locked": []}
    found = await desk.ask("GET", f"/policies/default/{KEY}")
    assert found == shown(f"default/{KEY}", inherited, inherited=True)

    own = {"guards": [{"name": "toxicity", "action": "block"}]}
    made = await desk.ask("PUT", f"/policies/default/{KEY}", own)
    assert made["guards"] == [{**WORDS, "name": "toxicity", "action": "block"}]
    assert made == await desk.ask("GET", f"/policies/default/{KEY}")
    await desk.until(lambda records: records.now[f"guard/default/{KEY}"])
    told = desk.records.now[f"guard/default/{KEY}"].guard_policy
    assert (told.tenant_id, told.key_id) == ("default", KEY)
    assert [(rule.guard, rule.action) for rule in told.rules] == [("toxicity", GUARD_ACTION_BLOCK)]
    assert (await desk.ask("GET", "/policies/default"))["guards"] == POLICY["guards"]


async def test_a_change_leaves_alone_what_it_does_not_name(desk: Any) -> None:
    changed = await desk.ask("PATCH", "/policies/default", {"denied_words": ["acme"]})
    assert changed == shown("default", {"guards": DEFAULT, "denied_words": ["acme"], "locked": []})
    changed = await desk.ask("PATCH", "/policies/default", {"locked": ["secrets"]})
    assert changed == shown("default", {"guards": DEFAULT, "denied_words": ["acme"], "locked": ["secrets"]})
    await desk.until(lambda records: list(records.now["guard/default"].guard_policy.locked) == ["secrets"])

    of_key = await desk.ask("PATCH", f"/policies/default/{KEY}", {"denied_words": ["bee"]})
    assert of_key["guards"] == DEFAULT
    assert (of_key["denied_words"], of_key["locked"]) == (["bee"], []), "its tenant's are not its own"


async def test_a_policy_may_let_nothing_run(desk: Any) -> None:
    await desk.ask("PUT", "/policies/default", {"guards": []})
    found = await desk.ask("GET", "/policies/default")
    assert (found["guards"], found["default"]) == ([], False)
    await desk.until(lambda records: records.now["guard/default"])


async def test_policies_are_listed_by_tenant_and_key(desk: Any) -> None:
    key = await key_of_acme(desk)
    for place in ("acme", f"acme/{key}", "default"):
        await desk.ask("PUT", f"/policies/{place}", {"guards": []})

    async def ids(query: str) -> list[str]:
        return [each["id"] for each in (await desk.ask("GET", f"/policies?{query}"))["data"]]

    assert await ids("order=asc") == ["acme", f"acme/{key}", "default"]
    assert await ids("tenant=acme") == [f"acme/{key}", "acme"]
    assert await ids(f"key={key}") == await ids(f"tenant=acme&key={key}") == [f"acme/{key}"]
    page = await desk.ask("GET", "/policies?limit=1&order=asc")
    assert page["has_more"] is True
    assert await ids(f"limit=1&order=asc&after={page['last_id']}") == [f"acme/{key}"]


# What goes


async def test_without_its_policy_the_default_holds_again(desk: Any) -> None:
    await desk.ask("PUT", "/policies/default", POLICY)
    await desk.until(lambda records: "guard/default" in records.now)
    for _ in range(2):
        gone = await desk.ask("DELETE", "/policies/default")
        assert gone == {"id": "default", "object": "guard_policy.deleted", "deleted": True}
    await desk.until(lambda records: "guard/default" not in records.now)
    assert desk.records.story.count(("guard/default", None)) == 1
    assert (await desk.ask("GET", "/policies/default"))["default"] is True


async def test_a_policy_goes_with_its_key_and_with_its_tenant(desk: Any) -> None:
    key = await key_of_acme(desk)
    for place in ("acme", f"acme/{key}"):
        await desk.ask("PUT", f"/policies/{place}", POLICY)
    await desk.until(lambda records: records.keys("guard") == {"acme", f"acme/{key}"})

    await desk.ask("DELETE", f"/keys/{key}")
    await desk.until(lambda records: records.keys("guard") == {"acme"})
    order = [place for place, record in desk.records.story if record is None]
    assert order.index(f"key/{key}") < order.index(f"guard/acme/{key}")
    assert (await desk.ask("GET", f"/policies/acme/{key}"))["inherited"] is True
    assert "revoked" in (await desk.error("PUT", f"/policies/acme/{key}", POLICY, status=409))["message"]

    await desk.ask("DELETE", "/tenants/acme")
    await desk.until(lambda records: records.keys("guard") == set())
    await desk.ask("POST", "/tenants", {"id": "acme"})
    assert (await desk.ask("GET", "/policies/acme"))["default"] is True


async def test_a_tenant_takes_the_policy_of_an_expired_key_along(desk: Any, clock: Any) -> None:
    await desk.ask("POST", "/tenants", {"id": "acme"})
    body = {"tenant": "acme", "expires_at": int(clock.time) + 5}
    key = (await desk.ask("POST", "/keys", body))["id"]
    await desk.ask("PUT", f"/policies/acme/{key}", POLICY)
    await desk.until(lambda records: records.keys("guard") == {f"acme/{key}"})
    clock.advance(10)
    await desk.ask("DELETE", "/tenants/acme")
    await desk.until(lambda records: records.keys("guard") == set())


async def test_a_start_tells_every_policy_anew(start: Any) -> None:
    async with start() as desk:
        await desk.ask("PUT", "/policies/default", POLICY)
        await desk.ask("PUT", f"/policies/default/{KEY}", {"guards": []})
    async with start() as desk:
        assert desk.records.keys("guard") == {"default", f"default/{KEY}"}
        told = desk.records.now["guard/default"].guard_policy
        assert [rule.guard for rule in told.rules] == ["pii", "denied-words"]


async def test_a_former_bootstrap_key_takes_its_policy_along(start: Any) -> None:
    async with start() as desk:
        await desk.ask("PUT", f"/policies/default/{KEY}", POLICY)
        made = await desk.ask("POST", "/keys", {"tenant": "default"})
    async with start(bootstrap_key=made["key"]) as desk:
        assert desk.records.keys("guard") == set()


# What is refused


@pytest.mark.parametrize(
    ("given", "param", "words"),
    [
        ({"guards": [{"name": "secret", "action": "block"}]}, "guards[0].name", "secrets"),
        ({"guards": [PII, {"name": "toxicity", "action": "redact"}]}, "guards[1].action", "block or observe"),
        ({"guards": [{"name": "prompt-injection", "action": "redact"}]}, "guards[0].action", "redact"),
        ({"guards": [{"name": "pii", "action": "mask"}]}, "guards[0].action", "observe"),
        ({"guards": [{"name": "pii"}]}, "guards[0].action", "missing"),
        ({"guards": [PII, PII]}, "guards", "'pii' twice"),
        ({"guards": [{**PII, "input": False, "output": False}]}, "guards[0]", "on the output"),
        ({"guards": [{**PII, "threshold": 1.5}]}, "guards[0].threshold", "1"),
        ({"guards": [{**PII, "threshold": 0}]}, "guards[0].threshold", "more than 0"),
        ({"guards": [{**PII, "treshold": 0.5}]}, "guards[0].treshold", "'threshold'"),
        ({"guards": None}, "guards", "list"),
        ({"denied_words": ["bee", "wasp", "bee"]}, "denied_words", "'bee' twice"),
        ({"denied_words": ["Bee", "bee"]}, "denied_words", "'bee' twice"),
        ({"denied_words": ["*"]}, "denied_words[0]", "before its '*'"),
        ({"denied_words": [""]}, "denied_words[0]", "empty"),
        ({"denied_words": ["bee", " bee"]}, "denied_words[1]", "space"),
        ({"denied_words": ["be\ne"]}, "denied_words[0]", "one line"),
        ({"denied_words": ["x" * (LONGEST_WORD + 1)]}, "denied_words[0]", "200"),
        ({"denied_words": [str(n) for n in range(MOST_WORDS + 1)]}, "denied_words", "2000"),
        ({"locked": ["pii", "everything"]}, "locked[1]", "toxicity"),
        ({"locked": ["pii", "pii"]}, "locked", "twice"),
        ({"lock": ["pii"]}, "lock", "'locked'"),
    ],
)
async def test_a_policy_that_is_none_is_refused(desk: Any, given: Any, param: str, words: str) -> None:
    error = await desk.error("PATCH", "/policies/default", given, status=400)
    assert error["param"] == param
    assert words in error["message"]
    assert (await desk.ask("GET", "/policies/default"))["default"] is True


async def test_a_policy_that_is_put_names_its_guards(desk: Any) -> None:
    assert (await desk.error("PUT", "/policies/default", {}, status=400))["param"] == "guards"


async def test_as_many_words_as_there_may_be(desk: Any) -> None:
    most = [f"{n:0{LONGEST_WORD}}" for n in range(MOST_WORDS)]
    changed = await desk.ask("PATCH", "/policies/default", {"denied_words": most})
    assert changed["denied_words"] == most
    await desk.until(lambda records: records.now["guard/default"])


async def test_policies_are_of_tenants_and_their_own_keys(desk: Any) -> None:
    await desk.ask("POST", "/tenants", {"id": "acme"})
    for method, body in (("GET", None), ("PUT", POLICY), ("PATCH", {}), ("DELETE", None)):
        assert (await desk.error(method, "/policies/nobody", body, status=404))["param"] == "tenant"
        for path in ("/policies/default/key_none", f"/policies/acme/{KEY}"):
            assert (await desk.error(method, path, body, status=404))["param"] == "key"
    assert (await desk.error("GET", "/policies?tenant=nobody", status=404))["param"] == "tenant"
    assert (await desk.error("GET", "/policies?key=key_none", status=404))["param"] == "key"


# What guards make of a text


async def test_guards_are_asked_about_a_text(guarded: Any, guards: Any) -> None:
    found = guard.Finding(guard="pii", category="email", start=5, end=12)
    guards.answer.tested.add(
        guard="pii", version="3", score=1.0, threshold=0.5, findings=[found], duration_us=41
    )
    guards.answer.tested.add(guard="toxicity", version="1", score=0.25, threshold=0.8, duration_us=900)
    body = {"text": "mail a@b.com", "guards": ["pii", "toxicity"], "tenant": "default", "key": KEY}
    answer = await guarded.ask("POST", "/guard/test", body)

    sent = guard.TestRequest(text="mail a@b.com", guards=body["guards"], tenant_id="default", key_id=KEY)
    assert guards.asked == [sent]
    assert answer["data"] == [
        {
            "guard": "pii",
            "version": "3",
            "score": 1.0,
            "threshold": 0.5,
            "verdict": "finding",
            "findings": [{"category": "email", "start": 5, "end": 12}],
            "microseconds": 41,
        },
        {
            "guard": "toxicity",
            "version": "1",
            "score": 0.25,
            "threshold": 0.8,
            "verdict": "clean",
            "findings": [],
            "microseconds": 900,
        },
    ]


async def test_whose_words_a_text_is_tested_for(guarded: Any, guards: Any) -> None:
    for body, asked in (
        ({}, ("", "")),
        ({"guards": None, "tenant": None, "key": None}, ("", "")),
        ({"tenant": "default"}, ("default", "")),
        ({"key": KEY}, ("default", KEY)),
    ):
        await guarded.ask("POST", "/guard/test", {"text": "bee", **body})
        sent = guards.asked[-1]
        assert (sent.tenant_id, sent.key_id, list(sent.guards)) == (*asked, [])


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "text"),
        ({"text": ""}, 400, "text"),
        ({"text": "bee", "guards": ["pii", "pi"]}, 400, "guards[1]"),
        ({"text": "bee", "tenant": "nobody"}, 404, "tenant"),
        ({"text": "bee", "key": "key_none"}, 404, "key"),
    ],
)
async def test_a_test_that_is_none_is_refused(
    guarded: Any, guards: Any, body: Any, status: int, param: str
) -> None:
    assert (await guarded.error("POST", "/guard/test", body, status=status))["param"] == param
    assert guards.asked == []


async def test_what_guardrails_refuses_is_told(guarded: Any, guards: Any) -> None:
    guards.refusing = HiveError(Kind.INVALID, "The text is too long.", "text")
    error = await guarded.error("POST", "/guard/test", {"text": "bee"}, status=400)
    assert (error["message"], error["param"]) == ("The text is too long.", "text")


async def test_policies_need_nobody_beside_console(desk: Any) -> None:
    error = await desk.error("POST", "/guard/test", {"text": "bee"}, status=503)
    assert "guardrails" in error["message"]
    await desk.ask("PUT", "/policies/default", POLICY)


# The cache


async def test_what_the_cache_holds(guarded: Any, answers: Any) -> None:
    figures = {"entries": 3, "bytes": 4096, "max_bytes": 2**33, "hits": 5, "misses": 7, "followers": 2}
    figures |= {"evicted": 1, "expired": 4}
    answers.counted = cache.StatsResponse(**figures)
    assert await guarded.ask("GET", "/cache") == {"object": "cache", **figures}


async def test_the_cache_is_cleared_of_a_tenant_or_whole(guarded: Any, answers: Any) -> None:
    answers.entries = {"default": 3, "acme": 2, "globex": 4}
    cleared = await guarded.ask("DELETE", "/cache?tenant=default")
    assert cleared == {"object": "cache.cleared", "tenant": "default", "cleared": 3}
    assert (await guarded.ask("DELETE", "/cache"))["cleared"] == 6


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [("tennant=default", 400, "tennant"), ("tenant=nobody", 404, "id"), ("tenant=", 404, "id")],
)
async def test_a_misspelt_tenant_clears_nothing(
    guarded: Any, answers: Any, query: str, status: int, param: str
) -> None:
    answers.entries = {"default": 3}
    assert (await guarded.error("DELETE", f"/cache?{query}", status=status))["param"] == param
    assert answers.entries == {"default": 3}


async def test_a_cache_that_does_not_answer(desk: Any) -> None:
    for method in ("GET", "DELETE"):
        assert "routing" in (await desk.error(method, "/cache", status=503))["message"]
