"""LiteLLM's `model_list` as models: entries with one `model_name` are the deployments of one model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from hive_console.declarations import REGION
from hive_console.importing.counterparts import (
    INFO,
    PARAMS,
    SILENT_INFO,
    UNKNOWN,
    UNKNOWN_INFO,
    UNKNOWN_PARAM,
    report_rest,
)
from hive_console.importing.deployments import Deployments
from hive_console.importing.fields import Fields
from hive_console.importing.prices import read_price
from hive_console.importing.providers import Providers
from hive_console.importing.report import Report
from hive_runtime.model_names import STAR

HEAVIEST: Final = 1_000_000
LAST_ORDER: Final = 1_000
MODES: Final[Mapping[str, str]] = {
    "chat": "chat",
    "responses": "chat",
    "embedding": "embedding",
    "image_generation": "image_generation",
    "image_edit": "image_generation",
    "video_generation": "video_generation",
    "audio_transcription": "audio_transcription",
    "audio_speech": "audio_speech",
    "rerank": "rerank",
    "moderation": "moderation",
    "moderations": "moderation",
    "ocr": "ocr",
    "realtime": "realtime",
}
_WITHOUT_MODE: Final = ("", "completion")


@dataclass(slots=True)
class Deployment:
    """weight, order: as they were written; None where they were not."""

    provider: str
    model: str
    path: str
    weight: Decimal | None
    order: int | None
    rpm: int | None
    tpm: int | None
    region: str


@dataclass(slots=True)
class Group:
    """A model, as it is put together. ids: `model_info.id` of its entries. groups: its access groups.

    base_model: the model whose price holds for it.
    """

    id: str
    deployments: list[Deployment] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    price: dict[str, Any] | None = None
    base_model: str = ""
    mode: str = ""
    context_window: int | None = None
    ids: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    aliases: list[str] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    context_fallbacks: list[str] = field(default_factory=list)
    policy: str = ""

    def as_written(self, *, is_shuffled: bool) -> dict[str, Any]:
        """As in the configuration file. is_shuffled: weights count, and where no entry has one, its rpm or tpm."""
        several = len(self.deployments) > 1
        model: dict[str, Any] = {"id": self.id}
        if self.aliases:
            model["aliases"] = self.aliases
        weights = _weights(self.deployments) if several and is_shuffled else ()
        orders = _orders(self.deployments) if several else ()
        model["deployments"] = list(_merged(self.deployments, weights, orders))
        for name in ("fallbacks", "context_fallbacks"):
            if names := getattr(self, name):
                model[name] = names
        if several and self.policy:
            model["routing"] = {"policy": self.policy}
        if self.price is not None:
            model["price"] = self.price
        if self.mode:
            model["mode"] = self.mode
        if self.context_window:
            model["context_window"] = self.context_window
        return model


class Models:
    """Reads entries one after the other; what cannot be served is reported and left out."""

    def __init__(self, deployments: Deployments, providers: Providers, report: Report) -> None:
        self._deployments = deployments
        self._providers = providers
        self._report = report
        self.groups: dict[str, Group] = {}

    def read(self, entries: Sequence[Any]) -> None:
        for position, entry in enumerate(entries):
            fields = Fields(entry, f"model_list[{position}]", self._report)
            if isinstance(entry, Mapping):
                self._entry(fields)

    def _entry(self, entry: Fields) -> None:
        name = entry.text("model_name")
        written = entry.take("litellm_params")
        if not name or not isinstance(written, Mapping):
            instead = "Write both, and import again."
            self._report.lost(entry.path, "an entry without `model_name` or `litellm_params`", instead)
            return
        if not self._can_be_named(name, str(written.get("model", "")), entry.at("model_name")):
            return
        info = entry.part("model_info")
        params, served = self._deployments.read(written, entry.at("litellm_params"))
        if not served:
            return
        group = self.groups.setdefault(name, Group(name))
        group.origins.append(entry.path)
        self._describe(group, info, params)
        limits = {
            each: params.whole(each) or entry.whole(each) or info.whole(each) for each in ("rpm", "tpm")
        }
        weight, order = params.number("weight"), params.whole("order")
        order = info.whole("order") if order is None else order
        region = params.text("region_name").lower()
        if region and not REGION.fullmatch(region):
            self._report.lost(
                params.at("region_name"), "a region of an odd name", "Write it as in `eu` or `us-east-1`."
            )
            region = ""
        for each in served:
            group.deployments.append(
                Deployment(
                    self._providers.name_of(each.provider, entry.path),
                    each.model,
                    entry.path,
                    weight,
                    order,
                    limits["rpm"],
                    limits["tpm"],
                    region,
                )
            )
        report_rest(params, PARAMS, UNKNOWN_PARAM, self._report)
        report_rest(entry, {}, UNKNOWN, self._report)

    def _can_be_named(self, name: str, model: str, path: str) -> bool:
        if name == STAR and model == STAR:
            self._report.lost(
                path,
                "any model of any provider, by the provider's name in front",
                "Write one entry for each provider that you use, such as `openai/*` with `model: openai/*`,"
                " and import again.",
            )
            return False
        if name.count(STAR) > 1:
            self._report.lost(
                path, "a pattern with more than one `*`", "A pattern here has one: write several of them."
            )
            return False
        return True

    def _describe(self, group: Group, info: Fields, params: Fields) -> None:
        if id := info.text("id"):
            group.ids.add(id)
        group.groups |= {str(each) for each in info.items("access_groups")}
        self._price(group, info, params)
        mode = info.text("mode")
        if mode in MODES:
            group.mode = group.mode or MODES[mode]
        elif mode not in _WITHOUT_MODE:
            self._report.lost(info.at("mode"), f"the mode {mode!r}", "There are no endpoints for it here.")
        if window := info.whole("max_input_tokens"):
            group.context_window = min(window, group.context_window or window)
        for name in list(info.names()):
            if name in SILENT_INFO or name.startswith("supports_"):
                info.take(name)
        group.base_model = group.base_model or info.text("base_model")
        report_rest(info, INFO, UNKNOWN_INFO, self._report)

    def _price(self, group: Group, info: Fields, params: Fields) -> None:
        price = read_price((params, info), self._report)
        if price is None:
            return
        if group.price is not None and group.price != price:
            self._report.lost(
                params.path,
                f"a price that differs from another one of {group.id!r}",
                "A model has one price here, whichever deployment answers: the first one was taken.",
            )
            return
        group.price = price


def _weights(deployments: Sequence[Deployment]) -> Sequence[int]:
    """Whole numbers in the same proportions; empty where all weigh the same."""
    for name in ("weight", "rpm", "tpm"):
        wanted: list[Decimal | None] = [
            None if (value := getattr(each, name)) is None else Decimal(value) for each in deployments
        ]
        if any(wanted):
            return _whole([each or Decimal(0) for each in wanted])
    return ()


def _whole(weights: Sequence[Decimal]) -> Sequence[int]:
    scale = 10 ** max(0, *(-int(each.normalize().as_tuple().exponent) for each in weights))
    numbers = [int(each * scale) for each in weights]
    divisor = math.gcd(*numbers) or 1
    numbers = [each // divisor for each in numbers]
    if max(numbers) > HEAVIEST:
        top = max(numbers)
        numbers = [max(1, each * HEAVIEST // top) if each else 0 for each in numbers]
    return () if len(set(numbers)) == 1 else numbers


def _orders(deployments: Sequence[Deployment]) -> Sequence[int]:
    """From 0 on, in the order of those that were written; deployments without one come last, as they do there."""
    known = sorted({each.order for each in deployments if each.order is not None})
    places = {order: place for place, order in enumerate(known)}
    found = [len(known) if each.order is None else places[each.order] for each in deployments]
    return [min(each, LAST_ORDER) for each in found] if any(found) else ()


def _merged(
    deployments: Sequence[Deployment], weights: Sequence[int], orders: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """The same model at the same provider is one deployment, with the weights of both."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for position, each in enumerate(deployments):
        key = (each.provider, each.model)
        if key in found:
            if weights:
                found[key]["weight"] += weights[position]
            continue
        written: dict[str, Any] = {"provider": each.provider, "model": each.model}
        if weights:
            written["weight"] = weights[position]
        if orders and orders[position]:
            written["order"] = orders[position]
        written |= {name: value for name in ("rpm", "tpm", "region") if (value := getattr(each, name))}
        found[key] = written
    yield from found.values()
