"""Reads the configuration file: providers and models, checked as a whole, every problem told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from hive_console.declarations import Form, ModelDeclaration, ProviderDeclaration
from hive_console.found import Declared, built_in, from_environment
from hive_console.problems import Problem, did_you_mean, path_of, problems_of
from hive_runtime.model_names import is_pattern, matched

F = TypeVar("F", bound=Form)
SECTIONS = ("providers", "models")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class ConfigurationError(Exception):
    """The file cannot be used; `problems` are all that was found. Never holds a secret."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = list(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{path} has {count}:", *(f"  {problem}" for problem in self.problems)]))


def load(path: Path, environment: Mapping[str, str]) -> Declared:
    """What the file declares, with `${NAME}` and `${NAME:-default}` in its texts filled from `environment`.

    A provider whose api_key names a variable that is not set is switched off, with a warning. Models may
    use providers of the file, the built-in ones, and those whose variable is set. Blocks on the file.
    Raises ConfigurationError.
    """
    sheet = _Sheet(environment)
    try:
        return sheet.read(_tree(path))
    except _Unusable as error:
        raise ConfigurationError(path, error.problems) from None


class _Unusable(Exception):
    def __init__(self, *problems: Problem) -> None:
        self.problems = problems


class _Sheet:
    """One reading of one file."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._problems: list[Problem] = []
        self._warnings: list[str] = []

    def read(self, tree: Mapping[str, Any]) -> Declared:
        written = {section: self._section(tree, section) for section in SECTIONS}
        for key in tree:
            if key not in SECTIONS:
                self._problem(str(key), "unknown key" + did_you_mean(key, SECTIONS))
        providers = self._entries("providers", written["providers"], ProviderDeclaration)
        models = self._entries("models", written["models"], ModelDeclaration)
        self._check_twins("providers", written["providers"], "name")
        self._check_twins("models", written["models"], "id")
        self._check_references(written)
        if self._problems:
            raise _Unusable(*self._problems)
        return Declared(tuple(providers), tuple(models), tuple(self._warnings))

    def _problem(self, path: str, message: str) -> None:
        self._problems.append(Problem(path, message))

    def _section(self, tree: Mapping[str, Any], section: str) -> list[Any]:
        entries = tree.get(section)
        if entries is None:
            return []
        if not isinstance(entries, list):
            self._problem(section, "must be a list")
            return []
        return entries

    def _entries(self, section: str, entries: list[Any], form: type[F]) -> list[F]:
        forms = []
        for position, written in enumerate(entries):
            at = f"{section}[{position}]"
            filled = self._fill(written, at)
            if form is ProviderDeclaration:
                filled = self._switch_off(written, filled, at)
            try:
                forms.append(form.model_validate(filled))
            except ValidationError as error:
                told = {problem.path for problem in self._problems}
                found = problems_of(error, form, written, at)
                self._problems += [problem for problem in found if problem.path not in told]
        return forms

    def _switch_off(self, written: Any, filled: Any, at: str) -> Any:
        """A provider without its key is not wrong, but nobody can be sent there."""
        unset = self._unset(written.get("api_key")) if isinstance(written, dict) else []
        if not unset:
            return filled
        self._warnings.append(
            f"{at}: provider {written.get('name')!r} is switched off: the environment variable "
            f"{unset[0]} is not set"
        )
        return {**filled, "api_key": None, "enabled": False}

    def _fill(self, value: Any, at: str) -> Any:
        if isinstance(value, dict):
            return {key: self._fill(each, path_of([str(key)], at)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._fill(each, path_of([step], at)) for step, each in enumerate(value)]
        return self._fill_text(value, at) if isinstance(value, str) else value

    def _fill_text(self, text: str, at: str) -> str:
        if "${" in VARIABLE.sub("", text):
            self._problem(at, "'${' begins a variable: write ${NAME} or ${NAME:-default}")
            return text
        for name in self._unset(text):
            if not at.endswith(".api_key"):
                self._problem(
                    at,
                    f"the environment variable {name} is not set: set it, or give a default with "
                    f"${{{name}:-default}}",
                )
        return VARIABLE.sub(lambda found: self._environment.get(found[1]) or found[2] or "", text)

    def _unset(self, text: Any) -> list[str]:
        """The variables in `text` that have no value and no default."""
        found = VARIABLE.finditer(text) if isinstance(text, str) else ()
        return [each[1] for each in found if each[2] is None and not self._environment.get(each[1])]

    def _check_twins(self, section: str, entries: list[Any], key: str) -> None:
        first: dict[str, int] = {}
        for position, name in _names(entries, key):
            if name in first:
                self._problem(
                    f"{section}[{position}].{key}", f"{name!r} is taken by {section}[{first[name]}] already"
                )
            first.setdefault(name, position)

    def _check_references(self, written: Mapping[str, list[Any]]) -> None:
        others = [built_in(), from_environment(self._environment)]
        providers = {name for _, name in _names(written["providers"], "name")}
        providers |= {provider.name for other in others for provider in other.providers}
        for position, model in enumerate(written["models"]):
            at = f"models[{position}]"
            for step, provider in _names(_list(model, "deployments"), "provider"):
                if provider not in providers:
                    self._unknown(f"{at}.deployments[{step}].provider", "provider", provider, providers)
        found = {each.id for other in others for each in other.models}
        self._check_aliases(written["models"], found)
        names = _Known(written["models"], found)
        for position, model in enumerate(written["models"]):
            self._check_others(f"models[{position}]", model, names)

    def _check_aliases(self, models: list[Any], found: set[str]) -> None:
        taken = {id: f"models[{position}]" for position, id in _names(models, "id")}
        for position, model in enumerate(models):
            for step, alias in _texts(model, "aliases"):
                at = f"models[{position}].aliases[{step}]"
                if alias in taken:
                    self._problem(at, f"{alias!r} is a name of {taken[alias]} already")
                elif alias in found:
                    self._warnings.append(
                        f"{at}: there is a model {alias!r} already, which is asked in its place"
                    )
                taken.setdefault(alias, f"models[{position}]")

    def _check_others(self, at: str, model: Any, names: _Known) -> None:
        """Those that the model names as fallbacks and as its mirror."""
        for field in ("fallbacks", "context_fallbacks"):
            for step, name in _texts(model, field):
                self._check_other(f"{at}.{field}[{step}]", "fallback", name, model, names)
        mirror = _mapping(_mapping(model, "routing"), "mirror")
        if isinstance(to := mirror.get("to"), str):
            self._check_other(f"{at}.routing.mirror.to", "mirror", to, model, names)

    def _check_other(self, at: str, noun: str, name: str, model: Any, names: _Known) -> None:
        if name == model.get("id"):
            self._problem(at, f"a model cannot be its own {noun}")
        elif not names.has(name):
            # Not an error: it may be a known provider's model whose variable is not set on this machine.
            nothing = "nothing falls back to it" if noun == "fallback" else "nothing is mirrored"
            self._warnings.append(
                f"{at}: there is no model {name!r} now, so {nothing}"
                + did_you_mean(name, sorted(names.exact))
            )

    def _unknown(self, path: str, noun: str, name: str, known: set[str]) -> None:
        self._problem(path, f"there is no {noun} {name!r}" + did_you_mean(name, sorted(known)))


def _names(entries: list[Any], key: str) -> list[tuple[int, str]]:
    """The names that entries give themselves, wrong entries and all: one mistake is told once."""
    found = [(step, each.get(key)) for step, each in enumerate(entries) if isinstance(each, dict)]
    return [(step, name) for step, name in found if isinstance(name, str)]


def _texts(entry: Any, key: str) -> list[tuple[int, str]]:
    return [(step, each) for step, each in enumerate(_list(entry, key)) if isinstance(each, str)]


def _mapping(entry: Any, key: str) -> dict[str, Any]:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, dict) else {}


class _Known:
    """The names of models that can be asked: those of the file, and those that are found beside it."""

    def __init__(self, written: list[Any], found: set[str]) -> None:
        ids = {id for _, id in _names(written, "id")}
        aliases = {alias for model in written for _, alias in _texts(model, "aliases")}
        self.exact = {id for id in ids if not is_pattern(id)} | aliases | found
        self._patterns = [id for id in ids if is_pattern(id)]

    def has(self, name: str) -> bool:
        return name in self.exact or any(matched(each, name) is not None for each in self._patterns)


def _list(entry: Any, key: str) -> list[Any]:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, list) else []


class _Loader(yaml.SafeLoader):
    """YAML in which no key of a mapping is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise _Unusable(
                    Problem(f"line {key.start_mark.line + 1}", f"the key {key.value!r} is given twice")
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _tree(path: Path) -> Mapping[str, Any]:
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise _Unusable(Problem("", "there is no such file")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _Unusable(Problem("", f"cannot be read: {type(error).__name__}")) from None
    except yaml.YAMLError as error:
        raise _Unusable(_syntax(error)) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise _Unusable(Problem("", "must be a mapping with the keys 'providers' and 'models'"))
    return tree


def _syntax(error: yaml.YAMLError) -> Problem:
    # The parser's own text quotes the line, which may hold a secret.
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return Problem(f"line {mark.line + 1}, column {mark.column + 1}", f"is not YAML: {error.problem}")
    return Problem("", "is not YAML")
