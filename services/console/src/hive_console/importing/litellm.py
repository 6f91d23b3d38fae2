"""A configuration of LiteLLM's proxy, and its keys, as what they are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from hive_console.configuration import VARIABLE
from hive_console.declarations import PICO, Form, ModelDeclaration, ProviderDeclaration
from hive_console.importing.callers import Callers, Key
from hive_console.importing.counterparts import (
    CALLBACK,
    CALLBACKS,
    GENERAL,
    LITELLM,
    ROUTER,
    SENDS_TO,
    TOP,
    UNKNOWN,
    add,
    report_rest,
)
from hive_console.importing.deployments import Deployments, variables_in
from hive_console.importing.fields import Fields, is_reference
from hive_console.importing.models import Group, Models
from hive_console.importing.prices import write_price
from hive_console.importing.providers import Providers
from hive_console.importing.report import Line, Report
from hive_console.importing.routes import Routes
from hive_console.importing.secrets import Secret, Secrets
from hive_console.importing.writing import write_configuration
from hive_runtime.model_names import is_pattern, matched
from hive_runtime.money import Tariff
from hive_runtime.provider_kinds import KINDS

ListPrice = Callable[[str, str, str], Tariff | None]
"""What a provider of this kind, at this address, charges for this model of its own; None where nobody knows."""
_CACHE_ON: Final = "HIVE_CACHE_SECONDS"
_OTHERS: Final = ("fallbacks", "context_fallbacks")


@dataclass(frozen=True, slots=True)
class Listed:
    """What LiteLLM's management API told. keys: each with the name of what it was read from."""

    keys: Sequence[tuple[str, object]] = ()
    teams: Sequence[object] = ()
    tenant: str = "default"


@dataclass(frozen=True, slots=True)
class Imported:
    """providers, models: as in the configuration file, with `${NAME}` where a secret or the environment comes in.

    tenants, keys: as the admin API takes them. secrets: what stood in the source as plain text. environment: what
    LiteLLM's own configuration puts into its environment. origins: places of the source, by `provider <name>` and
    `model <id>`.
    """

    providers: Sequence[Mapping[str, Any]]
    models: Sequence[Mapping[str, Any]]
    tenants: Sequence[Mapping[str, Any]]
    keys: Sequence[Key]
    secrets: Sequence[Secret]
    environment: Mapping[str, str] = field(repr=False)
    report: Report
    origins: Mapping[str, Sequence[str]]

    @property
    def variables(self) -> Sequence[str]:
        """Names of all variables that the configuration refers to."""
        return sorted({name for each in self.providers for name in variables_in(each)})

    def text(self, origin: str) -> str:
        """The configuration file. origin: what the source is called."""
        return write_configuration(
            list(self._head(origin)),
            [(each, self.origins[f"provider {each['name']}"]) for each in self.providers],
            [(each, self.origins[f"model {each['id']}"]) for each in self.models],
        )

    def lines_for_file(self) -> Iterator[Line]:
        """What is to do where a file is written, which names variables only."""
        report = Report()
        for secret in self.secrets:
            report.to_do(
                secret.path,
                "a secret as plain text",
                f"Set {secret.variable} to it in the gateway's environment.",
            )
        for name in sorted(self.environment.keys() & set(self.variables)):
            report.to_do(
                f"environment_variables.{name}",
                "a variable that LiteLLM sets itself",
                f"Set {name} in the gateway's environment.",
            )
        yield from report.lines

    def _head(self, origin: str) -> Iterator[str]:
        yield f"Made from LiteLLM's {origin} by `modelhive import litellm`."
        if self.variables:
            yield "It takes from the environment:"
            yield from (f"  {name}" for name in self.variables)


def import_litellm(
    source: Mapping[str, Any], list_price: ListPrice, now: int, listed: Listed | None = None
) -> Imported:
    """source: the configuration, as `read_source` gives it. now: Unix seconds.

    Raises nothing: whatever cannot be carried over is in the report, and what is given back is valid here but for
    variables that are not set.
    """
    reading = _Reading(source, list_price)
    reading.read()
    return reading.result(listed or Listed(), now)


class _Reading:
    """One reading of one source."""

    def __init__(self, source: Mapping[str, Any], list_price: ListPrice) -> None:
        self._list_price = list_price
        self._report = Report()
        self._top = Fields(source, "", self._report)
        self._router = self._top.part("router_settings")
        self._settings = self._top.part("litellm_settings")
        self._general = self._top.part("general_settings")
        self._secrets = Secrets()
        self._providers = Providers()
        self._groups: dict[str, Group] = {}
        self._environment: dict[str, str] = {}
        self._is_shuffled = True

    def read(self) -> None:
        given = self._top.take("environment_variables")
        if isinstance(given, Mapping):
            self._environment = {str(name): str(value) for name, value in given.items()}
        timeout = self._router.number("timeout") or self._settings.number("request_timeout")
        deployments = Deployments(self._report, self._secrets, self._credentials(), timeout)
        models = Models(deployments, self._providers, self._report)
        models.read(self._top.items("model_list"))
        self._groups = models.groups
        routes = Routes(self._groups, self._report)
        routes.read_aliases(self._router)
        routes.read_fallbacks((self._router, self._settings))
        self._is_shuffled = routes.read_strategy(self._router)
        self._note_limits()
        self._rest()

    def result(self, listed: Listed, now: int) -> Imported:
        providers = [
            each for each in self._providers if self._is_valid(each, ProviderDeclaration, "provider")
        ]
        names = {each["name"] for each in providers}
        models = [each for each in self._models() if self._can_serve(each, names)]
        self._prune(models)
        used = {each["provider"] for model in models for each in model["deployments"]}
        providers = [each for each in providers if each["name"] in used]
        for model in models:
            self._note_price(model, {each["name"]: each for each in providers})
        callers = self._callers(models, listed, now)
        origins: dict[str, Sequence[str]] = {
            f"provider {each['name']}": self._providers.origins(each["name"]) for each in providers
        }
        origins |= {f"model {each['id']}": self._groups[each["id"]].origins for each in models}
        return Imported(
            providers,
            models,
            list(callers.tenants.values()),
            callers.keys,
            list(self._secrets),
            self._environment,
            self._report,
            origins,
        )

    def _credentials(self) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for each in self._top.items("credential_list"):
            if isinstance(each, Mapping) and isinstance(values := each.get("credential_values"), Mapping):
                found[str(each.get("credential_name"))] = values
        return found

    def _models(self) -> Iterator[dict[str, Any]]:
        for group in self._groups.values():
            yield group.as_written(is_shuffled=self._is_shuffled)

    def _can_serve(self, model: dict[str, Any], providers: set[str]) -> bool:
        model["deployments"] = [each for each in model["deployments"] if each["provider"] in providers]
        if not model["deployments"]:
            return False  # its providers were reported
        # Names that it falls back to are looked at when it is known which models there are.
        alone = {name: value for name, value in model.items() if name not in _OTHERS}
        return self._is_valid(alone, ModelDeclaration, "model")

    def _is_valid(self, entry: Mapping[str, Any], form: type[Form], noun: str) -> bool:
        name = str(entry.get("name") or entry.get("id"))
        try:
            form.model_validate(_filled(entry))
        except ValidationError as error:
            origins = self._providers.origins(name) if noun == "provider" else self._groups[name].origins
            for problem in error.errors(include_url=False, include_input=False):
                place = ".".join(map(str, problem["loc"]))
                self._report.lost(
                    origins[0],
                    f"the {noun} {name!r} cannot be kept: {place and f'{place} '}{problem['msg']}",
                    "Change it there, and import again.",
                )
            return False
        return True

    def _prune(self, models: Sequence[dict[str, Any]]) -> None:
        """Nobody falls back to a model that could not be kept."""
        names = {name for each in models for name in (each["id"], *each.get("aliases", ()))}
        patterns = [name for name in names if is_pattern(name)]
        for model in models:
            for field_name in _OTHERS:
                for name in model.get(field_name, ()):
                    if name not in names and all(matched(each, name) is None for each in patterns):
                        where = self._groups[model["id"]].origins[0]
                        meaning = f"{model['id']!r} falls back to {name!r}, which could not be kept"
                        self._report.lost(where, meaning, "Name another model.")
                        model[field_name] = [each for each in model[field_name] if each != name]
                if not model.get(field_name, True):
                    del model[field_name]

    def _note_limits(self) -> None:
        limited = next(
            (each for group in self._groups.values() for each in group.deployments if each.rpm or each.tpm),
            None,
        )
        if limited is not None:
            self._report.differs(
                f"{limited.path}.litellm_params",
                "rpm and tpm, by which LiteLLM weighs deployments",
                "Here they are limits that a deployment never exceeds, too.",
            )

    def _note_price(self, model: dict[str, Any], providers: Mapping[str, Mapping[str, Any]]) -> None:
        """A model that nobody can price is refused, so that has to be known before the first call."""
        if "price" in model:
            return
        id = str(model["id"])
        named = [providers[each["provider"]] for each in model["deployments"]]
        listed = [
            self._list_price(str(provider["kind"]), _address(provider), str(each["model"])) is not None
            for each, provider in zip(model["deployments"], named, strict=True)
        ]
        if all(provider.get("free") for provider in named) or (any(listed) and not is_pattern(id)):
            return
        where, base = self._groups[id].origins[0], self._groups[id].base_model
        if base and (price := self._price_of(base, named[0])) is not None:
            model["price"] = price
            self._report.differs(
                f"{where}.model_info.base_model",
                f"says that {id!r} costs what {base!r} does",
                "That is written as its `price`, which does not change when the list does.",
            )
            return
        meaning = f"no price is known for {id!r}"
        instead = (
            "Write its `price` (or `free: true` at its provider, or HIVE_CEILING_PRICE): else it is refused."
        )
        self._report.to_do(where, meaning, instead)

    def _price_of(self, base_model: str, provider: Mapping[str, Any]) -> dict[str, Any] | None:
        """The list price of a model as one that can be written; not where longer prompts cost more."""
        name = base_model.rpartition("/")[2]
        tariff = self._list_price(str(provider["kind"]), _address(provider), name)
        if tariff is None or len(tariff.tiers) > 1:
            return None
        return write_price({unit: Decimal(picos) / PICO for unit, picos in tariff.tiers[0][1].items()})

    def _callers(self, models: Sequence[Mapping[str, Any]], listed: Listed, now: int) -> Callers:
        names = [name for each in models for name in (each["id"], *each.get("aliases", ()))]
        groups: dict[str, list[str]] = {}
        for each in models:
            for group in self._groups[each["id"]].groups:
                groups.setdefault(group, []).append(each["id"])
        callers = Callers(self._report, names, groups, listed.tenant, now)
        for teams in listed.teams:
            callers.read_teams(teams)
        for origin, keys in listed.keys:
            callers.read_keys(keys, origin)
        if groups and not listed.keys:
            self._report.differs(
                "model_list",
                "access groups, by which keys may use models",
                "Keys that are imported with `--keys` get the models of their groups.",
            )
        return callers

    def _rest(self) -> None:
        for section in (self._settings, self._router):
            self._callbacks(section)
        self._cache()
        report_rest(self._router, ROUTER, UNKNOWN, self._report)
        report_rest(self._settings, LITELLM, UNKNOWN, self._report)
        report_rest(self._general, GENERAL, UNKNOWN, self._report)
        report_rest(self._top, TOP, UNKNOWN, self._report)

    def _callbacks(self, section: Fields) -> None:
        for name in CALLBACKS:
            for each in section.items(name):
                add(self._report, f"{section.at(name)} ({each})", SENDS_TO.get(str(each), CALLBACK))

    def _cache(self) -> None:
        at = self._settings.at("cache")
        if self._settings.take("cache") is not True:
            self._settings.take("cache_params")
            self._report.differs(
                at,
                "no answer is given twice",
                f"Here answers to the same request are kept for an hour: {_CACHE_ON}=0 keeps none.",
            )
            return
        params = self._settings.part("cache_params")
        kind = params.text("type") or "redis"
        seconds = params.number("ttl")
        if seconds is not None:
            self._report.to_do(
                params.at("ttl"), "how long answers are kept", f"Set {_CACHE_ON}={int(seconds)}."
            )
        if kind == "redis":
            self._report.to_do(
                params.path,
                "answers are kept in Redis",
                "One process keeps them in memory; several take HIVE_CACHE_URL (redis://host:port).",
            )
        elif kind != "local":
            self._report.lost(
                params.at("type"),
                f"a cache of the type {kind!r}",
                "Answers to the very same request are kept.",
            )
        mode = params.text("mode")
        if mode == "default_off":
            self._report.lost(
                params.at("mode"),
                "answers are kept where a request asks for it",
                "A tenant's terms say it here.",
            )


def _address(provider: Mapping[str, Any]) -> str:
    """What prices are listed by: where it is, and for its kind's own place nothing."""
    base, kind = str(provider.get("base_url", "")), KINDS[provider["kind"]]
    if is_reference(base):
        return ""
    options = {name: str(value) for name, value in provider.get("options", {}).items()}
    return str(_filled(kind.address(base, options)))


def _filled(value: Any) -> Any:
    """With something in place of variables that would be good there."""
    if isinstance(value, Mapping):
        return {
            name: VARIABLE.sub("https://host.example", each)
            if name == "base_url" and isinstance(each, str)
            else _filled(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_filled(each) for each in value]
    return VARIABLE.sub("x", value) if isinstance(value, str) else value
