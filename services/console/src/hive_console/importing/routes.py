"""Fallbacks, aliases and the strategy of LiteLLM's router, as fields of the models that they are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from hive_console.declarations import MODEL_ID
from hive_console.importing.fields import Fields
from hive_console.importing.models import Group
from hive_console.importing.report import Report
from hive_runtime.model_names import by_specificity, filled, is_pattern, matched

POLICIES: Final[Mapping[str, str]] = {
    "simple-shuffle": "",
    "least-busy": "least_busy",
    "latency-based-routing": "lowest_latency",
    "cost-based-routing": "cheapest",
    "usage-based-routing": "least_busy",
    "usage-based-routing-v2": "least_busy",
}
_BY_USAGE: Final = ("usage-based-routing", "usage-based-routing-v2")
_ANY: Final = "*"


class Routes:
    """Changes the groups that models are made of."""

    def __init__(self, groups: dict[str, Group], report: Report) -> None:
        self._groups = groups
        self._report = report

    def read_strategy(self, router: Fields) -> bool:
        """Whether deployments are drawn by their weights, which no other strategy heeds."""
        strategy = router.text("routing_strategy") or "simple-shuffle"
        at = router.at("routing_strategy")
        if strategy not in POLICIES:
            known = "weighted, least_busy, lowest_latency, cheapest, sticky"
            self._report.lost(at, f"the strategy {strategy!r}", f"`routing.policy` is one of {known}.")
        if strategy in _BY_USAGE:
            self._report.lost(
                at,
                "the deployment that has used the fewest tokens in this minute comes first",
                "`least_busy` is the nearest, and is set; rpm and tpm are limits in any case.",
            )
        for group in self._groups.values():
            group.policy = POLICIES.get(strategy, "")
        return POLICIES.get(strategy, "") == ""

    def read_aliases(self, router: Fields) -> None:
        aliases = router.take("model_group_alias")
        path = router.at("model_group_alias")
        for alias, value in aliases.items() if isinstance(aliases, Mapping) else ():
            at = f"{path}.{alias}"
            target = value.get("model") if isinstance(value, Mapping) else value
            if isinstance(value, Mapping) and value.get("hidden"):
                self._report.differs(at, "an alias that is not listed", "GET /v1/models lists all aliases.")
            self._alias(str(alias), str(target), at)

    def _alias(self, alias: str, target: str, at: str) -> None:
        if not MODEL_ID.fullmatch(alias):
            instead = "Names are letters, digits, `.`, `_`, `:`, `@`, `+`, `-` and `/`."
            self._report.lost(at, "a name that cannot be one here", instead)
        elif alias in self._groups:
            self._report.lost(
                at,
                "there is a model of that name too",
                "An id counts before an alias here: rename one of them.",
            )
        elif target in self._groups and not is_pattern(target):
            self._groups[target].aliases.append(alias)
        elif (group := self._fitting(target, alias)) is not None:
            self._groups[alias] = group
        else:
            self._report.lost(at, f"an alias of {target!r}, which is not here", "Give it to another model.")

    def _fitting(self, name: str, id: str) -> Group | None:
        """A model of its own with this id, for a name that a pattern stands for."""
        for pattern in by_specificity(each for each in self._groups if is_pattern(each)):
            part = matched(pattern, name)
            if part is not None:
                group = self._groups[pattern]
                deployments = [replace(each, model=filled(each.model, part)) for each in group.deployments]
                return replace(
                    group,
                    id=id,
                    deployments=deployments,
                    aliases=[],
                    fallbacks=[],
                    context_fallbacks=[],
                    ids=set(),
                )
        return None

    def read_fallbacks(self, sections: Sequence[Fields]) -> None:
        """The first section that says something of a model counts."""
        for field in ("fallbacks", "context_fallbacks"):
            source = "context_window_fallbacks" if field == "context_fallbacks" else field
            said: set[str] = set()
            for section in sections:
                rules = list(self._rules(section.items(source), section.at(source)))
                for name, names, at in rules:
                    if name not in said:
                        self._apply(field, name, names, at)
                said |= {name for name, _, _ in rules}
        for section in sections:
            everyone = [str(each) for each in section.items("default_fallbacks")]
            self._apply_to_all(everyone, section.at("default_fallbacks"))

    def _rules(self, written: Sequence[Any], path: str) -> Iterator[tuple[str, list[str], str]]:
        for position, rule in enumerate(written):
            at = f"{path}[{position}]"
            if not isinstance(rule, Mapping):
                self._report.lost(at, "no mapping from a model to others", "Write `model: [others]`.")
                continue
            for name, others in rule.items():
                listed = others if isinstance(others, list) else [others]
                if any(isinstance(each, Mapping) for each in listed):
                    self._report.lost(
                        at,
                        "fallbacks with parameters of their own",
                        "A fallback gets the request as it is: name a model only.",
                    )
                yield str(name), [str(each) for each in listed if isinstance(each, str)], at

    def _apply(self, field: str, name: str, others: list[str], at: str) -> None:
        if name == _ANY and _ANY not in self._groups and field == "fallbacks":
            self._apply_to_all(others, at)
            return
        if name not in self._groups:
            group = self._fitting(name, name)
            if group is None:
                meaning = f"fallbacks of {name!r}, which is not here"
                self._report.lost(at, meaning, "Give them to the model that takes its place.")
                return
            self._groups[name] = group
        names = list(dict.fromkeys(self._known(each, at) for each in others if each != name))
        setattr(self._groups[name], field, [each for each in names if each])

    def _apply_to_all(self, others: list[str], at: str) -> None:
        known = [each for other in others if (each := self._known(other, at))]
        for group in self._groups.values():
            if not group.fallbacks:
                group.fallbacks = [each for each in known if each != group.id]

    def _known(self, name: str, at: str) -> str:
        """The name of a model that can be asked; empty, and a line, where there is none."""
        if name in self._groups or any(name in group.aliases for group in self._groups.values()):
            return name
        if any(is_pattern(each) and matched(each, name) is not None for each in self._groups):
            return name
        owner = next((group.id for group in self._groups.values() if name in group.ids), None)
        if owner is not None:
            self._report.lost(
                at,
                f"falls back to one deployment of {owner!r}, by its `model_info.id`",
                "Fallbacks are models here: give that deployment a model of its own.",
            )
        else:
            self._report.lost(at, f"falls back to {name!r}, which is not here", "Name another model.")
        return ""
