"""Brings what was imported into a running gateway, through its admin API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hive_console.configuration import VARIABLE
from hive_console.importing.litellm import Imported
from hive_embedded.admin import Admin, AdminError

_CONFLICT = 409
_LATER = ("fallbacks", "context_fallbacks")
"""What names other models, which have to be there first."""


@dataclass(slots=True)
class Counts:
    """made, changed: there is one now, or it is as the import has it. kept: it was there and was left as it is."""

    made: int = 0
    changed: int = 0
    kept: int = 0


@dataclass(slots=True)
class Applied:
    providers: Counts = field(default_factory=Counts)
    models: Counts = field(default_factory=Counts)
    tenants: Counts = field(default_factory=Counts)
    keys: Counts = field(default_factory=Counts)


class Applying:
    """May be done again: what is there from an earlier time is changed, what comes from a file is left to it.

    environment: fills the variables of the configuration. Raises AdminError where no gateway answers; what a gateway
    refuses goes into the report.
    """

    def __init__(self, admin: Admin, imported: Imported, environment: Mapping[str, str]) -> None:
        self._admin = admin
        self._imported = imported
        secrets = {each.variable: each.value for each in imported.secrets}
        self._environment = {**imported.environment, **environment, **secrets}
        self._report = imported.report
        self.applied = Applied()

    def apply(self) -> Applied:
        self._providers()
        self._models()
        self._tenants()
        self._keys()
        return self.applied

    def _providers(self) -> None:
        there = {each["name"]: each for each in self._admin.get_all("/providers")}
        for provider in self._imported.providers:
            name = str(provider["name"])
            path = self._imported.origins[f"provider {name}"][0]
            self._put(
                "/providers", name, self._filled(provider, path), there, self.applied.providers, path, "name"
            )

    def _models(self) -> None:
        there = {each["id"]: each for each in self._admin.get_all("/models")}
        put: list[Mapping[str, Any]] = []
        for model in self._imported.models:
            first = {name: value for name, value in model.items() if name not in _LATER}
            path = self._path_of(model)
            if self._put("/models", str(model["id"]), first, there, self.applied.models, path, "id"):
                put.append(model)
        for model in put:
            if later := {name: model[name] for name in _LATER if name in model}:
                self._ask("PATCH", f"/models/{model['id']}", later, self._path_of(model))

    def _path_of(self, model: Mapping[str, Any]) -> str:
        return self._imported.origins[f"model {model['id']}"][0]

    def _put(
        self,
        path: str,
        id: str,
        body: Mapping[str, Any],
        there: Mapping[str, Mapping[str, Any]],
        counts: Counts,
        origin: str,
        key: str,
    ) -> bool:
        """Whether it is as the import has it."""
        source = there[id]["source"] if id in there else ""
        if source == "file":
            counts.kept += 1
            return False
        if source == "api":
            changes = {name: value for name, value in body.items() if name != key}
            done = self._ask("PATCH", f"{path}/{id}", changes, origin)
            counts.changed += done
            return done
        done = self._ask("POST", path, body, origin)
        counts.made += done
        return done

    def _tenants(self) -> None:
        there = {each["id"] for each in self._admin.get_all("/tenants")}
        for tenant in self._imported.tenants:
            if tenant["id"] in there:
                self.applied.tenants.kept += 1
            else:
                self.applied.tenants.made += self._ask("POST", "/tenants", tenant, f"team {tenant['id']}")

    def _keys(self) -> None:
        for key in self._imported.keys:
            try:
                self._admin.call("POST", "/keys", dict(key.body))
            except AdminError as error:
                if error.status == _CONFLICT:
                    self.applied.keys.kept += 1
                    continue
                self._refused(key.path, error)
            else:
                self.applied.keys.made += 1

    def _ask(self, method: str, path: str, body: Mapping[str, Any], origin: str) -> bool:
        try:
            self._admin.call(method, path, dict(body))
        except AdminError as error:
            self._refused(origin, error)
            return False
        return True

    def _refused(self, origin: str, error: AdminError) -> None:
        if not error.status:
            raise error
        self._report.lost(origin, f"the gateway refused it: {error}", "Mend that, and import again.")

    def _filled(self, provider: Mapping[str, Any], path: str) -> dict[str, Any]:
        """With its variables filled in; one whose key is not set is off, as it is in a file."""
        unset: list[str] = []

        def fill(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: fill(each) for name, each in value.items()}
            if not isinstance(value, str):
                return value
            unset.extend(each[1] for each in VARIABLE.finditer(value) if not self._environment.get(each[1]))
            return VARIABLE.sub(lambda found: self._environment.get(found[1], ""), value)

        filled: dict[str, Any] = fill(provider)
        if unset:
            self._report.to_do(
                path,
                f"the provider {provider['name']!r} is off: the environment variable {unset[0]} is not set here",
                "Set it, and import again.",
            )
            filled = {**filled, "enabled": False}
            filled.pop("api_key", None)
        return filled
