"""How a model's deployments are chosen, as operators say it: in the file, through the API, and as others hear it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hive_console.configuration import ConfigurationError, load
from hive_console.control import (
    Deployment,
    Hedge,
    Mirror,
    Model,
    Names,
    Policy,
    Provider,
    Region,
    Routing,
    Source,
    in_service,
)
from hive_console.found import Declared
from hive_console.records import record_of
from modelhive.control.v1 import control_pb2

PROVIDERS = "providers: [{name: p, kind: local}, {name: q, kind: local}]\n"
WHOLE = {
    "policy": "sticky",
    "region": {"require": "eu"},
    "hedge": {"after_ms": 800, "by_header": False},
    "mirror": {"to": "other", "percent": 2.5},
}


def read(tmp_path: Path, models: str) -> Declared:
    path = tmp_path / "modelhive.yaml"
    path.write_text(PROVIDERS + "models:\n" + models)
    return load(path, {})


def problems(tmp_path: Path, models: str) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, models)
    return [str(problem) for problem in error.value.problems]


def test_the_file_says_all_of_it(tmp_path: Path) -> None:
    text = """
  - id: house
    aliases: [gpt-3.5-turbo, gpt-3.5-turbo-16k]
    deployments:
      - {provider: p, model: a, order: 1, region: eu-west-1, rpm: 500, tpm: 200000}
      - {provider: q, model: b, weight: 3}
    context_fallbacks: [long]
    routing:
      policy: least_busy
      region: {prefer: eu}
      hedge: {after_ms: 800}
      mirror: {to: any-new, percent: 5}
  - {id: long, deployments: [{provider: p, model: long}]}
  - {id: any-*, deployments: [{provider: p, model: "new/*"}]}
"""
    found = read(tmp_path, text)
    assert found.warnings == ()
    house, _, pattern = (each.model(Source.FILE, 0) for each in found.models)
    assert house.deployments == (
        Deployment("p", "a", 1, 1, "eu-west-1", 500, 200_000),
        Deployment("q", "b", 3),
    )
    assert (house.aliases, house.context_fallbacks) == (("gpt-3.5-turbo", "gpt-3.5-turbo-16k"), ("long",))
    assert house.routing == Routing(Policy.LEAST_BUSY, Region("eu"), Hedge(800), Mirror("any-new", 5))
    assert (pattern.id, pattern.deployments[0].model, pattern.routing) == ("any-*", "new/*", Routing())


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "routing: {policy: least_bussy}",
            "models[0].routing.policy: must be one of weighted, least_busy, lowest_latency, cheapest, sticky "
            "(got \"least_bussy\"); did you mean 'least_busy'?",
        ),
        ("routing: {polcy: sticky}", "models[0].routing.polcy: unknown key; did you mean 'policy'?"),
        ("routing: {region: {}}", "models[0].routing.region: must have either 'prefer' or 'require'"),
        (
            "routing: {region: {prefer: eu, require: us}}",
            "models[0].routing.region: must have either 'prefer' or 'require'",
        ),
        (
            "routing: {region: {prefer: EU}}",
            "models[0].routing.region.prefer: must be lower-case letters and digits, with '-' between parts, such as "
            'eu or us-east-1 (got "EU")',
        ),
        ("routing: {hedge: {after_ms: 0}}", "models[0].routing.hedge.after_ms: must be 1 or more (got 0)"),
        (
            "routing: {hedge: {after_ms: 0.8}}",
            "models[0].routing.hedge.after_ms: must be a whole number (got 0.8)",
        ),
        ("routing: {mirror: {to: b}}", "models[0].routing.mirror.percent: is missing"),
        (
            "routing: {mirror: {to: b, percent: 101}}",
            "models[0].routing.mirror.percent: must be 100.0 or less (got 101)",
        ),
        (
            "routing: {mirror: {to: m, percent: 5}}",
            "models[0].routing.mirror.to: a model cannot be its own mirror",
        ),
        ("context_fallbacks: [m]", "models[0].context_fallbacks[0]: a model cannot be its own fallback"),
        ("context_fallbacks: [b, b]", "models[0]: context_fallbacks name 'b' twice"),
        ("aliases: [a, a]", "models[0]: aliases name 'a' twice"),
        ("aliases: [m]", "models[0].aliases[0]: 'm' is a name of models[0] already"),
        ("aliases: [b]", "models[0].aliases[0]: 'b' is a name of models[1] already"),
        ("aliases: [again]", "models[1].aliases[0]: 'again' is a name of models[0] already"),
        ("aliases: ['a-*']", "models[0].aliases[0]: must be up to 200 letters"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, written: str, said: str) -> None:
    text = f"""
  - {{id: m, deployments: [{{provider: p, model: a}}], {written}}}
  - {{id: b, deployments: [{{provider: p, model: b}}], aliases: [again]}}
"""
    assert [each for each in problems(tmp_path, text) if each.startswith(said)]
    assert len(problems(tmp_path, text)) <= 2


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("order: -1", "models[0].deployments[0].order: must be 0 or more (got -1)"),
        ("rpm: 0", "models[0].deployments[0].rpm: must be 1 or more (got 0)"),
        ("tpm: 1.5", "models[0].deployments[0].tpm: must be a whole number (got 1.5)"),
        ("region: ''", "models[0].deployments[0].region: must be lower-case letters"),
    ],
)
def test_a_deployments_settings_are_checked(tmp_path: Path, written: str, said: str) -> None:
    (problem,) = problems(tmp_path, f"  - {{id: m, deployments: [{{provider: p, model: a, {written}}}]}}")
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("id", "more", "said"),
    [
        ("a-*-*", "", "models[0].id: must not have more than one '*' (got \"a-*-*\")"),
        ("a b*", "", "models[0].id: must be up to 200 letters"),
        ("a", "", "models[0]: deployments name 'x-*', and the id has no '*' that could be filled in"),
        (
            "a-*",
            ", {provider: q, model: '*/*'}",
            "models[0]: deployments name '*/*': one '*' can be filled in",
        ),
        ("a-*", "], aliases: [b", "models[0]: aliases name one model, and 'a-*' stands for many"),
    ],
)
def test_stars_have_their_places(tmp_path: Path, id: str, more: str, said: str) -> None:
    text = f"  - {{id: '{id}', deployments: [{{provider: p, model: 'x-*'}}{more}]}}"
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(said)


def test_names_that_nobody_has_are_warned_of(tmp_path: Path) -> None:
    text = """
  - id: m
    aliases: [local/smollm2-135m]
    deployments: [{provider: p, model: a}]
    fallbacks: [x-anything, m2]
    context_fallbacks: [lang]
    routing: {mirror: {to: nowhere, percent: 1}}
  - {id: long, aliases: [m2], deployments: [{provider: p, model: a}]}
  - {id: "x-*", deployments: [{provider: p, model: "*"}]}
"""
    assert read(tmp_path, text).warnings == (
        "models[0].aliases[0]: there is a model 'local/smollm2-135m' already, which is asked in its place",
        "models[0].context_fallbacks[0]: there is no model 'lang' now, so nothing falls back to it; "
        "did you mean 'long'?",
        "models[0].routing.mirror.to: there is no model 'nowhere' now, so nothing is mirrored",
    )


# The API


@pytest.fixture
async def stocked(desk: Any) -> Any:
    await desk.ask("POST", "/providers", {"name": "p", "kind": "local"})
    await desk.ask("POST", "/models", {"id": "other", "deployments": [{"provider": "p", "model": "o"}]})
    return desk


def body(**fields: Any) -> dict[str, Any]:
    return {"id": "m", "deployments": [{"provider": "p", "model": "a"}], **fields}


async def test_a_model_says_how_its_deployments_are_chosen(stocked: Any) -> None:
    deployment = {"provider": "p", "model": "a", "weight": 1, "order": 2, "region": "eu", "rpm": 5, "tpm": 6}
    made = await stocked.ask(
        "POST",
        "/models",
        body(deployments=[deployment], routing=WHOLE, aliases=["n"], context_fallbacks=["other"]),
    )
    assert made["routing"] == WHOLE
    assert made["deployments"] == [deployment]
    assert (made["aliases"], made["context_fallbacks"]) == (["n"], ["other"])
    assert await stocked.ask("GET", "/models/m") == made
    await stocked.until(lambda records: "model/m" in records.now)
    heard = stocked.records.now["model/m"].model
    (told,) = heard.deployments
    assert (told.order, told.region, told.rpm, told.tpm) == (2, "eu", 5, 6)
    assert (list(heard.aliases), list(heard.context_fallbacks)) == (["n"], ["other"])
    assert heard.routing == control_pb2.Routing(
        policy=control_pb2.ROUTING_POLICY_STICKY,
        region="eu",
        region_required=True,
        hedge_after_ms=800,
        no_hedge_by_header=True,
        mirror_to="other",
        mirror_percent=2.5,
    )


async def test_its_parts_change_one_by_one(stocked: Any) -> None:
    await stocked.ask("POST", "/models", body(routing=WHOLE))
    changed = await stocked.ask(
        "PATCH", "/models/m", {"routing": {"policy": "cheapest", "region": {"prefer": "us"}}}
    )
    assert changed["routing"] == {**WHOLE, "policy": "cheapest", "region": {"prefer": "us"}}
    cleared = await stocked.ask(
        "PATCH", "/models/m", {"routing": {"region": None, "hedge": None, "mirror": None}}
    )
    assert cleared["routing"] == {
        "policy": "cheapest",
        "region": None,
        "hedge": {"after_ms": None, "by_header": True},
        "mirror": None,
    }
    assert (await stocked.ask("PATCH", "/models/m", {"mode": "chat"}))["routing"] == cleared["routing"]


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"routing": {"policy": "random"}}, "routing.policy", "must be one of weighted, least_busy"),
        ({"routing": {"region": {"prefer": "eu", "require": "eu"}}}, "routing.region", "either"),
        ({"routing": {"mirror": {"to": "othr", "percent": 1}}}, "routing.mirror.to", "did you mean 'other'?"),
        ({"routing": {"mirror": {"to": "m", "percent": 1}}}, "routing.mirror.to", "its own mirror"),
        ({"context_fallbacks": ["othr"]}, "context_fallbacks[0]", "did you mean 'other'?"),
        ({"context_fallbacks": ["m"]}, "context_fallbacks[0]", "its own fallback"),
        ({"aliases": ["m"]}, "aliases[0]", "its own alias"),
        ({"aliases": ["other"]}, "aliases[0]", "is a name of the model 'other' already"),
        ({"deployments": [{"provider": "p", "model": "*"}]}, None, "the id has no '*'"),
    ],
)
async def test_what_is_wrong_is_refused(stocked: Any, change: Any, param: str | None, words: str) -> None:
    error = await stocked.error("POST", "/models", body(**change), status=400)
    assert words in error["message"]
    if param is not None:
        assert error["param"] == param
    await stocked.ask("POST", "/models", body())
    error = await stocked.error("PATCH", "/models/m", change, status=400)
    assert words in error["message"]


async def test_names_are_given_once(stocked: Any) -> None:
    await stocked.ask("POST", "/models", body(aliases=["n"]))
    error = await stocked.error("POST", "/models", body(id="n"), status=409)
    assert "alias of the model 'm'" in error["message"]
    error = await stocked.error("POST", "/models", body(id="k", aliases=["n"]), status=400)
    assert "'m'" in error["message"]


async def test_patterns_and_aliases_can_be_fallen_back_to(stocked: Any) -> None:
    await stocked.ask("POST", "/models", body(id="x-*", deployments=[{"provider": "p", "model": "*"}]))
    await stocked.ask("PATCH", "/models/other", {"aliases": ["alias"]})
    await stocked.ask("POST", "/models", body(fallbacks=["x-1", "alias"]))
    await stocked.until(lambda records: records.keys("model") == {"x-*", "m", "other"})
    assert list(stocked.records.now["model/m"].model.fallbacks) == ["x-1", "alias"]
    for id in ("x-*", "other"):
        assert "mirror of m:" in (await stocked.error("DELETE", f"/models/{id}", status=409))["message"]
    await stocked.ask(
        "PATCH", "/models/m", {"fallbacks": [], "routing": {"mirror": {"to": "alias", "percent": 1}}}
    )
    await stocked.ask("DELETE", "/models/x-*")
    assert "mirror of m:" in (await stocked.error("DELETE", "/models/other", status=409))["message"]


async def test_a_key_may_be_allowed_a_pattern(desk: Any) -> None:
    key = await desk.ask("POST", "/keys", {"tenant": "default", "name": "k", "models": ["claude-*", "gpt-5"]})
    assert key["models"] == ["claude-*", "gpt-5"]
    await desk.error("POST", "/keys", {"tenant": "default", "name": "k", "models": ["*-*"]}, status=400)


# What is out of service


def model(id: str, provider: str = "p", **fields: Any) -> Model:
    return Model(id, (Deployment(provider, id),), Source.API, 0, **fields)


ON, OFF = Provider("p", "local", Source.API, 0), Provider("q", "local", Source.API, 0, enabled=False)


def served(*models: Model) -> dict[str, Model]:
    found = in_service([ON, OFF], models)
    return {entity.id: entity for entity in found.values() if isinstance(entity, Model)}


def test_what_is_out_of_service_is_passed_on_to_by_no_name() -> None:
    mirrored = Routing(mirror=Mirror("off-alias", 5))
    m = model("m", context_fallbacks=("off", "on"), fallbacks=("off-1", "on-alias", "x-1"), routing=mirrored)
    others = (
        model("off", "q", aliases=("off-alias",)),
        model("off-*", "q"),
        model("on", aliases=("on-alias",)),
        model("x-*"),
    )
    found = served(m, *others)
    assert found.keys() == {"m", "on", "x-*"}
    assert (found["m"].context_fallbacks, found["m"].fallbacks) == (("on",), ("on-alias", "x-1"))
    assert found["m"].routing == Routing()


def test_a_name_stands_for_one_model() -> None:
    names = Names([model("a", aliases=("b",)), model("b-*"), model("b-c-*"), model("b-c-d")])
    found = {
        name: each and each.id
        for name in ("a", "b", "b-x", "b-c-x", "b-c-d", "c")
        for each in [names.find(name)]
    }
    assert found == {"a": "a", "b": "a", "b-x": "b-*", "b-c-x": "b-c-*", "b-c-d": "b-c-d", "c": None}
    assert names.exactly("b-x") is None


def test_a_usual_model_is_told_as_before() -> None:
    record = record_of(model("m"), 1).model
    assert not record.HasField("routing")
    assert not record.deployments[0].HasField("rpm")
    assert (record.deployments[0].order, record.deployments[0].region) == (0, "")
