"""LiteLLM's keys and teams, as its management API lists them, as keys and tenants: the keys stay the same.

LiteLLM keeps the SHA-256 of a key, in hexadecimal, as its `token`; so is a key known here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hive_console.declarations import NAME
from hive_console.importing.budgets import read_money
from hive_console.importing.fields import Fields
from hive_console.importing.report import Report
from hive_runtime.model_names import is_pattern, matched

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ALL: Final = ("all-proxy-models", "*")
_DASHBOARD: Final = "litellm-dashboard"
_OF_TEAM: Final = "all-team-models"
_OF_TIERS: Final = (
    "max_budget",
    "budget_duration",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
    "soft_budget",
)
_LIMITS: Final = (("rpm", "rpm_limit"), ("tpm", "tpm_limit"), ("concurrency", "max_parallel_requests"))
LARGEST: Final = 10**15


@dataclass(frozen=True, slots=True)
class Key:
    """path: where it was told of. body: as the admin API takes it."""

    path: str
    body: Mapping[str, Any]


class Callers:
    """models: ids and aliases that there are. groups: the ids in each access group.

    tenant: of keys without a team. now: Unix seconds.
    """

    def __init__(
        self,
        report: Report,
        models: Collection[str],
        groups: Mapping[str, Sequence[str]],
        tenant: str,
        now: int,
    ) -> None:
        self._report = report
        self._models = models
        self._groups = groups
        self._tenant = tenant
        self._now = now
        self.tenants: dict[str, dict[str, Any]] = {}
        self.keys: list[Key] = []

    def read_teams(self, answer: object) -> None:
        """answer: of `GET /team/list`, a list of teams."""
        listed = answer.get("teams", []) if isinstance(answer, Mapping) else answer
        for position, written in enumerate(listed if isinstance(listed, list) else []):
            team = Fields(written, f"teams[{position}]", self._report)
            if id := team.text("team_id"):
                self._team(id, team)

    def read_keys(self, answer: object, origin: str) -> None:
        """answer: of `GET /key/list?return_full_object=true` or `GET /key/info`, or a list of such. origin: a name."""
        for position, written in enumerate(self._listed(answer, origin)):
            path = f"{origin}[{position}]"
            if not isinstance(written, Mapping):
                self._report.lost(
                    path, "a key of which nothing but the hash is told", "Ask with `return_full_object=true`."
                )
                continue
            inner = written.get("info")
            known = (
                {**inner, "token": inner.get("token") or written.get("key")}
                if isinstance(inner, Mapping)
                else written
            )
            self._key(Fields(_with_tier(known), path, self._report))

    def _listed(self, answer: object, origin: str) -> Iterator[Any]:
        if isinstance(answer, list):
            for each in answer:
                yield from (
                    self._listed(each, origin) if isinstance(each, Mapping) and "keys" in each else (each,)
                )
            return
        if not isinstance(answer, Mapping):
            return
        keys = answer.get("keys")
        if not isinstance(keys, list):
            yield answer
            return
        pages = answer.get("total_pages")
        if isinstance(pages, int) and pages > 1:
            self._report.differs(
                origin,
                f"one page of {pages}",
                "Give all pages, each with `--keys` (`size=100` lets there be fewer).",
            )
        yield from keys

    def _team(self, id: str, team: Fields) -> str:
        name = id if NAME.fullmatch(id) else _ODD.sub("-", id).strip("-._")[:64] or "team"
        money = read_money(team, self._report, can_fund=False)
        billing: dict[str, Any] = {"mode": "metered", **({"caps": dict(money.caps)} if money.caps else {})}
        tenant: dict[str, Any] = {"id": name, "name": team.text("team_alias")[:255], "billing": billing}
        listed = [str(each) for each in team.items("models")]
        models = self._allowed(listed, team.at("models"))
        if models is not None:
            tenant["models"] = models
        if team.take("blocked") is True:
            tenant["disabled"] = True
        for limit in ("tpm_limit", "rpm_limit"):
            if team.number(limit):
                self._report.lost(
                    team.at(limit), "a limit of all keys of a team together", "Limits here are of keys."
                )
        self.tenants[name] = tenant
        return name

    def _tenant_of(self, key: Fields) -> str:
        id = key.text("team_id")
        if not id:
            return self._tenant
        name = id if NAME.fullmatch(id) else _ODD.sub("-", id).strip("-._")[:64] or "team"
        if name in self.tenants:
            return name
        known = {
            "team_alias": key.take("team_alias"),
            "max_budget": key.take("team_max_budget"),
            "models": key.take("team_models"),
            "blocked": key.take("team_blocked"),
        }
        self._report.differs(
            key.at("team_id"),
            f"the team {name!r} becomes a tenant, whose budget and models are not told here",
            "Give what `GET /team/list` says with `--teams`, or set its terms: `modelhive tenants set`.",
        )
        return self._team(id, Fields({**known}, key.path, self._report))

    def _key(self, key: Fields) -> None:
        sha256, last_four = self._secret(key)
        if not sha256:
            return
        if why := self._is_of_no_use(key):
            self._report.differs(
                key.path, f"{_shown(key)} {why}", "It is not carried over, for it lets nobody in."
            )
            return
        body: dict[str, Any] = {"tenant": self._tenant_of(key), "name": _name_of(key)}
        body |= {"sha256": sha256, "last_four": last_four}
        if (models := self._models_of(key)) is not None:
            body["models"] = models
        if expires := _moment(key.take("expires")):
            body["expires_at"] = expires
        for name, written in _LIMITS:
            if limit := key.whole(written):
                body[name] = min(limit, LARGEST)
        money = read_money(key, self._report, can_fund=True)
        if money.budget is not None:
            body["budget_usd"] = money.budget
        if money.caps:
            body["caps"] = dict(money.caps)
        self._report_rest(key)
        self.keys.append(Key(key.path, body))

    def _secret(self, key: Fields) -> tuple[str, str]:
        token = str(key.take("token") or key.take("token_id") or "")
        shown = key.text("key_name")
        if token.startswith("sk-"):
            return hashlib.sha256(token.encode()).hexdigest(), token[-4:]
        if _SHA256.fullmatch(token):
            return token, shown[-4:] if len(shown) >= 4 else ""
        self._report.lost(
            key.path, "a key without its hash (`token`)", "Make another one: `modelhive keys create`."
        )
        return "", ""

    def _is_of_no_use(self, key: Fields) -> str:
        expires = _moment(key.take("expires"))
        if key.take("blocked") is True:
            return "is blocked"
        if key.take("team_id") == _DASHBOARD:
            return "is a session of LiteLLM's UI"
        if expires and expires <= self._now:
            return "has expired"
        if any(key.number(written) == 0 for _, written in _LIMITS):
            return "may make no request, by its limits"
        return ""

    def _models_of(self, key: Fields) -> list[str] | None:
        listed = [str(each) for each in key.items("models")]
        return None if _OF_TEAM in listed else self._allowed(listed, key.at("models"))

    def _allowed(self, listed: Sequence[str], path: str) -> list[str] | None:
        """None: all of them."""
        if not listed or any(each in _ALL for each in listed):
            return None
        found: list[str] = []
        for name in listed:
            if name in self._groups:
                found += self._groups[name]
            elif self._is_known(name):
                found.append(name)
            else:
                self._report.lost(
                    path,
                    f"allows {name!r}, which is not here",
                    "It is left out of the list; there may be another name.",
                )
        return list(dict.fromkeys(found))

    def _is_known(self, name: str) -> bool:
        return name in self._models or any(
            is_pattern(each) and matched(each, name.replace("*", "x")) is not None for each in self._models
        )

    def _report_rest(self, key: Fields) -> None:
        metadata = key.part("metadata")
        for name in _PER_MODEL:
            if metadata.take(name) or key.take(name):
                self._report.lost(key.at(name), "limits of a key for single models", _PER_MODEL_INSTEAD)
        for name, (meaning, instead) in _LEFT.items():
            if key.take(name) not in (None, {}, [], "", False):
                self._report.lost(key.at(name), meaning, instead)
        if named := [name for name, _ in metadata.rest()]:
            self._report.lost(
                metadata.path,
                f"notes on a key ({', '.join(named)})",
                "Keys here have a name, and no other notes.",
            )


_PER_MODEL: Final = (
    "model_rpm_limit",
    "model_tpm_limit",
    "rpm_limit_per_model",
    "tpm_limit_per_model",
    "model_max_budget",
)
_PER_MODEL_INSTEAD: Final = "Make a key for each model, or put rpm and tpm on the model's deployments."
_LEFT: Final[Mapping[str, tuple[str, str]]] = {
    "aliases": ("other names of models, for this key", "Give the models those names as `aliases`; they hold for all."),
    "soft_budget": ("an amount at which people are told", "Ask `modelhive usage --question runway`."),
    "allowed_routes": ("which paths a key may call", "There is nothing like it here."),
    "allowed_cache_controls": ("what a key may say of the cache", "A tenant's terms hold: `modelhive tenants set`."),
    "permissions": ("rights of a key", "There is nothing like it here."),
    "config": ("settings of a key", "There is nothing like it here."),
    "router_settings": ("fallbacks and a strategy of this key", "They are of models here."),
    "auto_rotate": ("a key that is replaced from time to time", "Make another one, then revoke it."),
    "object_permission": ("tools and stores that a key may use", "There is nothing like it here."),
    "budget_fallbacks": ("models for when the budget is used up", "The answer is 402 then."),
    "organization_id": ("an organization above teams", "A tenant is the highest here."),
    "org_id": ("an organization above teams", "A tenant is the highest here."),
}  # fmt: skip


def _with_tier(key: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the limits of its tier, where it has none of its own."""
    tier = key.get("litellm_budget_table")
    if not isinstance(tier, Mapping):
        return key
    own = {name: value for name, value in key.items() if value is not None}
    return {**{name: tier.get(name) for name in _OF_TIERS}, **own}


def _name_of(key: Fields) -> str:
    text = key.text("key_alias") or key.text("user_id") or key.text("key_name")
    return "".join(each for each in text if each.isprintable())[:255]


def _shown(key: Fields) -> str:
    name = key.text("key_alias")
    return f"the key {name!r}" if name else "a key"


def _moment(value: object) -> int | None:
    """Unix seconds of a moment in ISO 8601; UTC where it does not say."""
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
