"""The configuration file: what it may say, and the words for what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive_console.configuration import ConfigurationError, load
from hive_console.found import Declared

GOOD = """
providers:
  - {name: openai, kind: openai, base_url: "https://api.openai.com/v1", api_key: "${OPENAI_API_KEY}"}
  - name: vllm
    kind: openai
    base_url: "http://${VLLM_HOST:-127.0.0.1}:8000/v1"
    timeouts: {connect: 1, first_byte: 2.5}
    output_bound_field: max_tokens
models:
  - id: gpt-4o
    deployments: [{provider: openai, model: gpt-4o, weight: 3}, {provider: vllm, model: other}]
    fallbacks: [gpt-4o-mini]
    price: {prompt: "2.50", completion: "10.00", cached_prompt: "1.25", per: 1000000}
  - id: gpt-4o-mini
    deployments: [{provider: openai, model: gpt-4o-mini}]
    mode: chat
"""
SECRET = "sk-secret-of-the-environment"
ENVIRONMENT = {"OPENAI_API_KEY": SECRET}


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Declared:
    path = tmp_path / "modelhive.yaml"
    path.write_text(text)
    return load(path, ENVIRONMENT if environment is None else environment)


def problems(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, text, environment)
    assert SECRET not in str(error.value)
    return [str(problem) for problem in error.value.problems]


def test_a_good_file_says_what_it_says(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    openai, vllm = found.providers
    assert (openai.name, openai.api_key, openai.enabled) == ("openai", SECRET, True)
    assert vllm.base_url == "http://127.0.0.1:8000/v1"
    assert (vllm.timeouts.connect, vllm.timeouts.first_byte, vllm.timeouts.total) == (1, 2.5, None)
    first, second = found.models
    assert [(each.provider, each.weight) for each in first.deployments] == [("openai", 3), ("vllm", 1)]
    assert first.price is not None
    assert first.price.units() == {"prompt": "2.50", "completion": "10.00", "cached_prompt": "1.25"}
    assert second.mode == "chat"
    assert found.warnings == ()


def test_json_is_yaml(tmp_path: Path) -> None:
    text = '{"providers": [{"name": "a", "kind": "local"}], "models": []}'
    assert read(tmp_path, text).providers[0].name == "a"


@pytest.mark.parametrize("text", ["", "# nothing\n", "providers:\nmodels:\n", "models: []"])
def test_an_empty_file_declares_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Declared()


def test_the_environment_fills_texts_after_parsing(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD, {"OPENAI_API_KEY": "{a: [b, #c\n", "VLLM_HOST": "gpu.local"})
    assert found.providers[0].api_key == "{a: [b, #c"
    assert found.providers[1].base_url == "http://gpu.local:8000/v1"


@pytest.mark.parametrize("environment", [{}, {"OPENAI_API_KEY": ""}])
def test_a_provider_without_its_key_is_off_and_says_why(tmp_path: Path, environment: dict[str, str]) -> None:
    found = read(tmp_path, GOOD, environment)
    assert (found.providers[0].enabled, found.providers[0].api_key) == (False, None)
    assert found.providers[1].enabled
    (warning,) = found.warnings
    assert "'openai' is switched off" in warning
    assert "OPENAI_API_KEY" in warning


def test_any_other_variable_must_be_set(tmp_path: Path) -> None:
    text = "providers: [{name: a, kind: openai, base_url: 'http://${NOWHERE}/v1'}]"
    assert problems(tmp_path, text) == [
        "providers[0].base_url: the environment variable NOWHERE is not set: set it, or give a default with "
        "${NOWHERE:-default}"
    ]


@pytest.mark.parametrize("written", ["${}", "${A B}", "${A", "${1A}", "x${A-b}"])
def test_a_variable_that_is_none_is_refused(tmp_path: Path, written: str) -> None:
    text = f"providers: [{{name: a, kind: local, api_key: '{written}'}}]"
    assert problems(tmp_path, text) == [
        "providers[0].api_key: '${' begins a variable: write ${NAME} or ${NAME:-default}"
    ]


def test_kinds_have_addresses_and_options_of_their_own(tmp_path: Path) -> None:
    text = """
providers:
  - {name: claude, kind: anthropic, api_key: "${OPENAI_API_KEY}"}
  - {name: azure, kind: azure, options: {resource: "${RESOURCE:-acme}", api_version: "2024-10-21"}}
"""
    claude, azure = read(tmp_path, text).providers
    assert (claude.kind, claude.base_url, claude.options) == ("anthropic", "", {})
    assert azure.options == {"resource": "acme", "api_version": "2024-10-21"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            "{resource: a, api_version: 2024-10-21}",
            'providers[0].options.api_version: must be a text: put it in quotes (got "2024-10-21")',
        ),
        ("{resource: a, regin: b}", "providers[0]: options.regin is no option of a provider of kind 'azure'"),
        ("[resource]", "providers[0].options: must be a mapping of keys to values"),
        (
            "{}",
            "providers[0]: base_url is missing: a provider of kind 'azure' needs one, or options.resource",
        ),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, options: str, said: str) -> None:
    (problem,) = problems(tmp_path, f"providers: [{{name: a, kind: azure, options: {options}}}]")
    assert problem.startswith(said)


def test_every_problem_is_told_at_once_with_its_path(tmp_path: Path) -> None:
    text = """
provders: []
providers:
  - {name: openai, kind: opnai, base_url: "api.openai.com", api_kye: "${OPENAI_API_KEY}"}
models:
  - id: one
    deployments: [{provider: openai, model: a}, {provider: opanai, model: b, wieght: 1}]
    fallbacks: [onee, one, 4]
    price: {prompt: 2.50, completion: "ten", per: 1000000}
  - id: one
    deployments: [{provider: openai, model: a, weight: 1.5}]
"""
    assert problems(tmp_path, text) == [
        "provders: unknown key; did you mean 'providers'?",
        "providers[0].kind: is no kind of provider: 'opnai'; did you mean 'openai'?",
        'providers[0].base_url: must be a URL such as https://api.example.com/v1 (got "api.openai.com")',
        "providers[0].api_kye: unknown key; did you mean 'api_key'?",
        "models[0].deployments[1].wieght: unknown key; did you mean 'weight'?",
        "models[0].fallbacks[2]: must be a text: put it in quotes (got 4)",
        'models[0].price.prompt: must be a decimal string, with the quotes: "2.5"',
        'models[0].price.completion: must be a decimal string of US dollars such as "2.50" (got "ten")',
        "models[1].deployments[0].weight: must be a whole number (got 1.5)",
        "models[1].id: 'one' is taken by models[0] already",
        "models[0].deployments[1].provider: there is no provider 'opanai'; did you mean 'openai'?",
        "models[0].fallbacks[1]: a model cannot be its own fallback",
    ]


def test_the_error_names_the_file_and_counts(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"modelhive\.yaml has 1 problem:\n  models: must be a list"):
        read(tmp_path, "models: {id: a}")


def test_known_providers_and_built_in_models_can_be_referred_to(tmp_path: Path) -> None:
    text = """
models:
  - id: fast
    deployments: [{provider: openai, model: gpt-4o}, {provider: local, model: smollm2-135m}]
    fallbacks: [local/smollm2-135m, gpt-4o-mini]
"""
    assert len(read(tmp_path, text).models) == 1
    assert problems(tmp_path, text, {}) == [
        "models[0].deployments[0].provider: there is no provider 'openai'",
    ]


def test_a_fallback_that_is_not_there_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    text = """
providers:
  - {name: openai, kind: openai, base_url: "https://api.openai.com/v1", api_key: "${OPENAI_API_KEY}"}
models:
  - id: gpt-4o
    deployments: [{provider: openai, model: gpt-4o, weight: 1}]
    fallbacks: [gpt-4o-mini]
    price: {prompt: "2.50", completion: "10.00", cached_prompt: "1.25", per: 1000000}
"""
    off, fallback = read(tmp_path, text, {}).warnings
    assert "OPENAI_API_KEY is not set" in off
    assert fallback.startswith("models[0].fallbacks[0]: there is no model 'gpt-4o-mini' now")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [", "line 1, column 10: is not YAML"),
        ("models:\n- id: a\n  id: b\n", "line 3: the key 'id' is given twice"),
        ("- a\n- b\n", "must be a mapping with the keys 'providers' and 'models'"),
        ("providers: [one]", "providers[0]: must be a mapping of keys to values"),
        ("models: [{id: 5, deployments: x}]", "models[0].deployments: must be a list"),
        ("models: [{deployments: [{provider: [], model: {}}]}]", "models[0].id: is missing"),
        ("providers: [{name: a, kind: local, api_key: 12345678}]", "providers[0].api_key: must be a text"),
        ("models: !!python/object/apply:os.system ['true']", "line 1, column 9: is not YAML"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, text)
    assert any(problem.startswith(said) for problem in found), found


def test_no_secret_is_shown_even_where_it_is_wrong(tmp_path: Path) -> None:
    text = f"""
providers:
  - {{name: a, kind: openai, base_url: "https://user:{SECRET}@x.test", api_key: ["{SECRET}"]}}
  - {{name: b, kind: openai, base_url: "${{OPENAI_API_KEY}}"}}
  - "{SECRET}: {{"
"""
    assert len(problems(tmp_path, text.replace(f'  - "{SECRET}: {{"\n', ""))) == 3


@pytest.mark.parametrize("key", ["two\nlines", "not-ascii-é"])
def test_a_credential_must_fit_into_a_header(tmp_path: Path, key: str) -> None:
    (problem,) = problems(tmp_path, GOOD, {"OPENAI_API_KEY": key})
    assert problem.startswith("providers[0].api_key: must be ")
    assert key not in problem


def test_broken_yaml_shows_no_line_of_the_file(tmp_path: Path) -> None:
    assert problems(tmp_path, f"providers:\n  - api_key: {SECRET}: [\n")


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load(tmp_path / "nothing.yaml", {})
    with pytest.raises(ConfigurationError, match="cannot be read: IsADirectoryError"):
        load(tmp_path, {})


def test_the_same_file_gives_the_same(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == read(tmp_path, GOOD)
