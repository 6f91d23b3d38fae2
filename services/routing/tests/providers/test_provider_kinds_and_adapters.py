"""The one list of kinds: every one has an adapter, and its rows are as they should be."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from hive_routing.providers.bodies.reranking import asked
from hive_routing.providers.openai import PATHS
from hive_routing.providers.over_http import Site
from hive_routing.providers.port import Timeouts
from hive_routing.providers.registry import MAKERS, ProviderRow, Providers
from hive_runtime.clock import SystemClock
from hive_runtime.provider_kinds import COMPATIBLE, KINDS, NATIVE, OPERATIONS, Kind
from hive_runtime.sealing import SealingKey
from hive_runtime.tasks import Tasks

OPTIONS = {
    "resource": "acme",
    "project": "p-1",
    "region": "eu-central-1",
    "workspace": "dbc-1.test",
    "provider": "watsonx",
}
ELSEWHERE = {"any-llm"}
"""Kinds that want a package which this environment does not have."""


def options_of(kind: Kind) -> dict[str, str]:
    """All that it has to be told."""
    return {each.name: OPTIONS[each.name] for each in kind.options if each.name in OPTIONS}


def test_every_kind_has_an_adapter_and_every_adapter_a_kind() -> None:
    assert set(MAKERS) == set(KINDS)
    assert len(KINDS) == len(NATIVE) + len(COMPATIBLE), "a name was given twice"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_kind_is_described_as_it_should(kind: Kind) -> None:
    url = kind.address("", options_of(kind))
    parts = urlsplit(url)
    assert parts.scheme == "https" or parts.hostname in ("127.0.0.1", None)
    assert not url.endswith("/")
    assert kind.variable == kind.variable.upper()
    assert kind.bound_field in ("", "max_tokens", "max_completion_tokens")
    assert len(kind.name) <= 16, "the console keeps so many characters"
    assert len({each.name for each in kind.options}) == len(kind.options)
    if url or not kind.has_address:
        assert list(kind.problems("", options_of(kind))) == []
    else:
        assert [place for place, _ in kind.problems("", {})] == ["base_url"]


@pytest.mark.parametrize("kind", COMPATIBLE, ids=lambda kind: kind.name)
def test_a_row_says_what_the_adapter_can_do(kind: Kind) -> None:
    row = kind.compatible
    assert row is not None
    assert row.speaks
    assert set(row.speaks) <= set(OPERATIONS) == set(PATHS)
    assert asked(b"{}", row.rerank) == b"{}"


async def test_an_adapter_of_every_kind_can_be_made() -> None:
    for name in MAKERS.keys() - ELSEWHERE:
        make, kind = MAKERS[name], KINDS[name]
        url = kind.address("", options_of(kind)) or "http://127.0.0.1:1"
        credential = "" if name.startswith("vertex") else "sk-1"
        provider = make(Site("acme", name, url, credential, options_of(kind)))
        assert provider.speaks
        await provider.close()


def test_variables_name_one_kind_each() -> None:
    variables = [kind.variable for kind in KINDS.values() if kind.variable]
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize(
    ("kind", "base_url", "options", "credential"),
    [
        ("unheard-of", "http://x", {}, b""),
        ("vertex", "http://x", {}, b""),
        ("openai", "x", {}, b""),
        ("openai", "http://x", {}, b"sealed for another"),
        ("any-llm", "http://x", {"provider": "watsonx"}, b""),
    ],
)
async def test_a_provider_that_cannot_be_used_is_not_there(
    kind: str, base_url: str, options: dict[str, str], credential: bytes
) -> None:
    tasks = Tasks(lambda name, error: None)
    providers = Providers(SealingKey.generate(), SystemClock(), tasks)
    assert providers.put(ProviderRow("acme", kind, base_url, credential, Timeouts(), "", options))
    assert providers.get("acme") is None
    await tasks.close()


async def test_other_options_make_another_adapter() -> None:
    tasks = Tasks(lambda name, error: None)
    providers = Providers(SealingKey.generate(), SystemClock(), tasks)
    row = ProviderRow("acme", "openai", "http://127.0.0.1:1", b"", Timeouts(), "", {"speaks": "chat"})
    assert providers.put(row)
    assert not providers.put(ProviderRow(**{name: getattr(row, name) for name in row.__slots__}))
    before = providers.get("acme")
    assert before is not None
    assert before.adapter.speaks == ("chat",)
    assert providers.put(ProviderRow("acme", "openai", "http://127.0.0.1:1", b"", Timeouts(), ""))
    after = providers.get("acme")
    assert after is not None
    assert "responses" in after.adapter.speaks
    await tasks.close()
    await providers.close()
