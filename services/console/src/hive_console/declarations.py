"""Providers and models as operators write them, in the configuration file and in the admin API alike."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from hive_console.control import (
    Deployment,
    Hedge,
    Mirror,
    Model,
    Policy,
    Price,
    Provider,
    Region,
    Routing,
    Source,
    Timeouts,
)
from hive_console.problems import did_you_mean
from hive_runtime.model_names import STAR, is_pattern
from hive_runtime.provider_kinds import KINDS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]*(/[A-Za-z0-9._:@+-]+)*")
REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?")
PICO = Decimal(10) ** 12
MODES = Literal[
    "chat",
    "embedding",
    "image_generation",
    "video_generation",
    "audio_transcription",
    "audio_speech",
    "rerank",
    "moderation",
    "ocr",
    "realtime",
]


def wrong(message: str, *, said: bool = False) -> PydanticCustomError:
    """The error that a check raises; its words reach the operator as they are.

    said: the words show the value already.
    """
    return PydanticCustomError("said" if said else "wrong", "{message}", {"message": message})


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise wrong("must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or digit")
    return value


def _model_id(value: str) -> str:
    if len(value) > 200 or not MODEL_ID.fullmatch(value):
        raise wrong(
            "must be up to 200 letters, digits and '.', '_', ':', '@', '+', '-', with '/' between parts"
        )
    return value


def _model_name(value: str) -> str:
    """A model's id, or a pattern."""
    if value.count(STAR) > 1:
        raise wrong("must not have more than one '*'")
    _model_id(value.replace(STAR, "x"))
    return value


def _region(value: str) -> str:
    if not REGION.fullmatch(value):
        raise wrong("must be lower-case letters and digits, with '-' between parts, such as eu or us-east-1")
    return value


def printable(value: str) -> str:
    """The value; raises where a character of it does not show."""
    if not value.isprintable():
        raise wrong("must be one line without control characters")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise wrong("must not be blank")
    return printable(value)


def _credential(value: str) -> str:
    # Read from a file, a key often has a line break behind it.
    value = _on_one_line(value.strip())
    if not value.isascii():
        raise wrong("must be ASCII: it travels in an HTTP header")
    return _not_blank(value)


def _on_one_line(value: str) -> str:
    """The JSON that some providers give out as a credential, without its line breaks; other values as they are."""
    if not value.startswith("{"):
        return value
    try:
        return json.dumps(json.loads(value), separators=(",", ":"))
    except ValueError:
        return value


def _kind(value: str) -> str:
    if value not in KINDS:
        near = did_you_mean(value, KINDS)
        raise wrong(f"is no kind of provider: {value!r}{near or '; docs/providers.md lists them'}", said=True)
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in value) or not parts.path.isascii():
        raise wrong("must be a URL such as https://api.example.com/v1")
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise wrong("must name a host that the domain name system can know") from None
    if "@" in parts.netloc:
        raise wrong("must not carry a user name or password: use api_key")
    if parts.query or parts.fragment:
        raise wrong("must end with its path: no '?' and no '#'")
    return value.rstrip("/")


def _amount(value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise wrong(f'must be a decimal string, with the quotes: "{value}"', said=True)
    if isinstance(value, str) and not AMOUNT.fullmatch(value):
        raise wrong('must be a decimal string of US dollars such as "2.50"')
    return value


Name = Annotated[str, AfterValidator(_name)]
ModelId = Annotated[str, AfterValidator(_model_id)]
ModelName = Annotated[str, AfterValidator(_model_name)]
"""A model's id, or a pattern: an id with a `*`."""
RegionName = Annotated[str, Field(max_length=64), AfterValidator(_region)]
PerMinute = Annotated[int, Field(ge=1, le=10**15)]
Title = Annotated[str, Field(max_length=255), AfterValidator(printable)]
Text = Annotated[str, Field(max_length=255), AfterValidator(_not_blank)]
Credential = Annotated[str, Field(max_length=8192), AfterValidator(_credential)]
KindName = Annotated[str, AfterValidator(_kind)]
Url = Annotated[str, Field(max_length=2048), AfterValidator(_url)]
Amount = Annotated[str, BeforeValidator(_amount)]
LATEST = 253_402_300_799
"""The last second of the year 9999."""
Moment = Annotated[int, Field(ge=0, le=LATEST)]
"""Unix seconds."""
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Form(BaseModel):
    """What an operator writes: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    def given(self) -> dict[str, Any]:
        """The fields that were written, and no others."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class TimeoutsForm(Form):
    """null stands for the default."""

    connect: Seconds | None = None
    first_byte: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None

    def over(self, timeouts: Timeouts) -> Timeouts:
        """The given ones in place of those that stand, all others as they are."""
        return replace(timeouts, **{name: seconds or 0.0 for name, seconds in self.given().items()})


class ProviderFields(Form):
    """What can be changed of a provider."""

    kind: KindName = "openai"
    base_url: Url = ""
    options: dict[str, Text] = {}
    api_key: Credential | None = Field(default=None, repr=False)
    timeouts: TimeoutsForm = TimeoutsForm()
    output_bound_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    free: bool = False
    enabled: bool = True

    def values(self) -> dict[str, Any]:
        """The written fields as `Provider` has them; credential and timeouts stay out."""
        return {name: value for name, value in self.given().items() if name not in ("api_key", "timeouts")}


class ProviderDeclaration(ProviderFields):
    name: Name
    kind: KindName

    @model_validator(mode="after")
    def _fits_its_kind(self) -> ProviderDeclaration:
        problems = KINDS[self.kind].problems(self.base_url, self.options)
        if words := "; ".join(f"{place} {problem}" for place, problem in problems):
            raise wrong(words, said=True)
        return self

    def provider(self, source: Source, created_at: int, sealed_credential: bytes) -> Provider:
        return Provider(
            source=source,
            created_at=created_at,
            sealed_credential=sealed_credential,
            timeouts=self.timeouts.over(Timeouts()),
            **self.values(),
        )


class DeploymentForm(Form):
    provider: Name
    model: Text
    weight: int = Field(default=1, ge=0, le=1_000_000)
    order: int = Field(default=0, ge=0, le=1_000)
    region: RegionName | None = None
    rpm: PerMinute | None = None
    tpm: PerMinute | None = None


class RegionForm(Form):
    prefer: RegionName | None = None
    require: RegionName | None = None

    @model_validator(mode="after")
    def _is_one(self) -> RegionForm:
        if (self.prefer is None) == (self.require is None):
            raise wrong("must have either 'prefer' or 'require'")
        return self

    def region(self) -> Region:
        return Region(self.require or self.prefer or "", required=self.require is not None)


class HedgeForm(Form):
    after_ms: int | None = Field(default=None, ge=1, le=60_000)
    by_header: bool = True


class MirrorForm(Form):
    to: ModelId
    percent: float = Field(gt=0, le=100)


class RoutingForm(Form):
    """How one of a model's deployments is chosen."""

    policy: Literal["weighted", "least_busy", "lowest_latency", "cheapest", "sticky"] = "weighted"
    region: RegionForm | None = None
    hedge: HedgeForm | None = None
    mirror: MirrorForm | None = None

    def over(self, routing: Routing) -> Routing:
        """The given parts in place of those that stand, all others as they are."""
        values: dict[str, Any] = {
            "policy": Policy(self.policy),
            "region": None if self.region is None else self.region.region(),
            "hedge": Hedge() if self.hedge is None else Hedge(**self.hedge.model_dump()),
            "mirror": None if self.mirror is None else Mirror(**self.mirror.model_dump()),
        }
        return replace(routing, **{name: values[name] for name in self.model_fields_set})


class PriceForm(Form):
    """US dollars per `per` units."""

    per: int = Field(gt=0, le=1_000_000_000)
    prompt: Amount | None = None
    cached_prompt: Amount | None = None
    cache_write_5m: Amount | None = None
    cache_write_1h: Amount | None = None
    completion: Amount | None = None
    reasoning: Amount | None = None
    audio_in: Amount | None = None
    audio_out: Amount | None = None
    image: Amount | None = None
    character: Amount | None = None
    second: Amount | None = None
    page: Amount | None = None
    video_second: Amount | None = None
    search: Amount | None = None

    @model_validator(mode="after")
    def _is_exact(self) -> PriceForm:
        units = self.units()
        if not units:
            raise wrong('names no unit: give at least one, such as prompt: "2.50"')
        for unit, amount in units.items():
            if Decimal(amount) * PICO % self.per:
                raise wrong(f"{unit} is finer than a pico-dollar (1e-12) per unit and cannot be kept exactly")
        return self

    def units(self) -> dict[str, str]:
        return {unit: amount for unit, amount in self.given().items() if unit != "per" and amount is not None}


NAME_LISTS = ("aliases", "fallbacks", "context_fallbacks")


class ModelFields(Form):
    """What can be changed of a model."""

    deployments: list[DeploymentForm] = Field(default=[], min_length=1)
    aliases: list[ModelId] = []
    fallbacks: list[ModelId] = []
    context_fallbacks: list[ModelId] = []
    routing: RoutingForm = RoutingForm()
    price: PriceForm | None = None
    mode: MODES | None = None
    owned_by: Text | None = None
    context_window: int | None = Field(default=None, gt=0, le=1_000_000_000)
    created: Moment = 0

    @model_validator(mode="after")
    def _has_no_twins(self) -> ModelFields:
        seen = [(each.provider, each.model) for each in self.deployments]
        for provider, model in seen:
            if seen.count((provider, model)) > 1:
                raise wrong(
                    f"deployments name {model!r} at {provider!r} twice: give it one entry, and a weight"
                )
        for name in NAME_LISTS:
            names: list[str] = getattr(self, name)
            if twins := [each for each in names if names.count(each) > 1]:
                raise wrong(f"{name} name {twins[0]!r} twice")
        return self

    def values(self) -> dict[str, Any]:
        """The written fields as `Model` has them; `routing` stays out."""
        values = {name: value for name, value in self.given().items() if name != "routing"}
        if "deployments" in values:
            values["deployments"] = tuple(Deployment(**each.model_dump()) for each in self.deployments)
        values |= {name: tuple(values[name]) for name in NAME_LISTS if name in values}
        if self.price is not None:
            values["price"] = Price(self.price.units(), self.price.per)
        return values


class ModelDeclaration(ModelFields):
    id: ModelName
    deployments: list[DeploymentForm] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_stars_in_their_places(self) -> ModelDeclaration:
        if words := misplaced_star(self.id, [each.model for each in self.deployments], self.aliases):
            raise wrong(words)
        return self

    def model(self, source: Source, created: int) -> Model:
        routing = self.routing.over(Routing())
        return Model(source=source, **{"created": created, "routing": routing, **self.values()})


def misplaced_star(id: str, names: Iterable[str], aliases: Collection[str]) -> str | None:
    """What is wrong with a model's use of `*`, in words. names: the providers' own, of its deployments."""
    if is_pattern(id) and aliases:
        return f"aliases name one model, and {id!r} stands for many: write a model of its own"
    for name in names:
        if is_pattern(name) and not is_pattern(id):
            return f"deployments name {name!r}, and the id has no '*' that could be filled in"
        if name.count(STAR) > 1:
            return f"deployments name {name!r}: one '*' can be filled in"
    return None
