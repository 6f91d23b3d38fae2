"""The control state as values: tenants, keys, guard policies, providers, models, and which callers can use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from hive_runtime.model_names import by_specificity, is_pattern, matched
from hive_runtime.provider_kinds import KINDS

DEFAULT_TENANT = "default"


class Source(Enum):
    """Where a provider or model comes from. Where several sources give one name, the first of these wins."""

    FILE = "file"
    API = "api"
    ENVIRONMENT = "environment"
    DISCOVERED = "discovered"
    BUILTIN = "builtin"

    @property
    def rank(self) -> int:
        return list(Source).index(self)


class Mode(Enum):
    """How a tenant pays: what its wallet holds, or everything later."""

    METERED = "metered"
    PREPAID = "prepaid"


class Strictness(Enum):
    """What is held for a call: an upper bound of its cost, or the likely cost, extended in mid-stream."""

    STRICT = "strict"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True)
class Told:
    """The newest that the other services are told of a control key: its record, encoded; None where it is retired.

    revision: the one that told it.
    """

    key: str
    revision: int
    record: bytes | None


@dataclass(frozen=True, slots=True)
class Caps:
    """Nano-dollars per calendar day, week (from Monday) and month, in UTC; None is no cap."""

    day_nanos: int | None = None
    week_nanos: int | None = None
    month_nanos: int | None = None


@dataclass(frozen=True, slots=True)
class AutoRecharge:
    """Below `below_nanos`, `amount_nanos` is moved, at most `times_per_day` times a day (UTC)."""

    below_nanos: int
    amount_nanos: int
    times_per_day: int = 1


@dataclass(frozen=True, slots=True)
class Billing:
    """How a tenant pays. default_max_output: output tokens where a caller names no bound; None: 4096.

    caps: over all keys of the tenant. auto_recharge: of the wallet, by a payment.
    """

    mode: Mode = Mode.PREPAID
    strictness: Strictness = Strictness.STRICT
    default_max_output: int | None = None
    caps: Caps = Caps()
    auto_recharge: AutoRecharge | None = None


@dataclass(frozen=True, slots=True)
class CacheTerms:
    """What answers are kept for a tenant's callers.

    ttl_seconds: how long one may be given again; 0 is never, None the default of the deployment.
    price_percent: of what it cost from the provider, 0 to 100.
    """

    ttl_seconds: int | None = None
    price_percent: int = 0


@dataclass(frozen=True, slots=True)
class Tenant:
    """models: what the administrator enabled; None is all. created_at: Unix seconds."""

    id: str
    name: str
    created_at: int
    models: tuple[str, ...] | None = None
    disabled: bool = False
    billing: Billing = Billing()
    cache: CacheTerms = CacheTerms()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: its SHA-256 and its last four characters, never the key.

    models: intersected with the tenant's; None is whatever the tenant may use.
    created_at, expires_at: Unix seconds; None is never.
    rpm, tpm: requests and tokens per minute. concurrency: requests at a time. None is no limit.
    has_budget: it spends from a budget of its own, which billing keeps; else from its tenant's wallet.
    auto_recharge: of the budget, from the wallet.
    """

    id: str
    tenant_id: str
    name: str
    sha256: bytes
    last_four: str
    created_at: int
    models: tuple[str, ...] | None = None
    expires_at: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    has_budget: bool = False
    caps: Caps = Caps()
    auto_recharge: AutoRecharge | None = None
    revoked: bool = False

    def is_live(self, now: float) -> bool:
        return not self.revoked and (self.expires_at is None or self.expires_at > now)


class GuardAction(Enum):
    """What becomes of a finding: operators are told, it is taken out, or the call is refused."""

    OBSERVE = "observe"
    REDACT = "redact"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class GuardRule:
    """threshold: what scores at least so much is a finding, up to 1; None is the guard's own."""

    guard: str
    action: GuardAction
    input: bool = True
    output: bool = False
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """Which guards run for a tenant; with a key_id, for that key in place of the tenant's.

    rules: in the order in which they run. locked: guards that callers cannot leave out. Denied words and locks of
    the tenant hold for its keys too, beside the keys' own.
    """

    tenant_id: str
    key_id: str | None
    rules: tuple[GuardRule, ...]
    denied_words: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return policy_id(self.tenant_id, self.key_id)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; 0 stands for the default of whoever calls the provider."""

    connect: float = 0.0
    first_byte: float = 0.0
    idle: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Provider:
    """base_url: as the operator wrote it; empty: its kind's own. options: what its kind wants to know besides.

    sealed_credential: empty where none is needed, or none is there. free: what it serves costs nothing, for it runs
    on a machine of the operator.
    """

    name: str
    kind: str
    source: Source
    created_at: int
    base_url: str = ""
    sealed_credential: bytes = field(default=b"", repr=False)
    timeouts: Timeouts = Timeouts()
    output_bound_field: str | None = None
    free: bool = False
    enabled: bool = True
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The base URL that it is asked at; empty where it has none."""
        kind = KINDS.get(self.kind)
        return self.base_url if kind is None else kind.address(self.base_url, self.options)

    @property
    def bound_field(self) -> str:
        """What it calls the output bound; empty where it takes what clients call it."""
        kind = KINDS.get(self.kind)
        return self.output_bound_field or (kind.bound_field if kind is not None else "")


@dataclass(frozen=True, slots=True)
class Deployment:
    """model: the provider's own name of it; with a `*` for what that of the model's id stands for.

    order: lower ones are asked first. region: where it is. rpm, tpm: requests and tokens per minute. None is not
    known, or no limit.
    """

    provider: str
    model: str
    weight: int = 1
    order: int = 0
    region: str | None = None
    rpm: int | None = None
    tpm: int | None = None


class Policy(Enum):
    """How one of several deployments is chosen."""

    WEIGHTED = "weighted"
    LEAST_BUSY = "least_busy"
    LOWEST_LATENCY = "lowest_latency"
    CHEAPEST = "cheapest"
    STICKY = "sticky"


@dataclass(frozen=True, slots=True)
class Region:
    """Where deployments are asked first, or, where it is required, alone."""

    name: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Hedge:
    """after_ms: without content for so long, a second deployment is asked too; None: not unless a caller wants it.

    by_header: callers may want it.
    """

    after_ms: int | None = None
    by_header: bool = True


@dataclass(frozen=True, slots=True)
class Mirror:
    """The model that gets a copy of so many of a hundred requests."""

    to: str
    percent: float


@dataclass(frozen=True, slots=True)
class Routing:
    policy: Policy = Policy.WEIGHTED
    region: Region | None = None
    hedge: Hedge = Hedge()
    mirror: Mirror | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """Decimal strings in US dollars per `per` units, as the operator wrote them."""

    units: Mapping[str, str]
    per: int


@dataclass(frozen=True, slots=True)
class Model:
    """id: with a `*`, the names that it fits. aliases: other names of it. context_fallbacks: models for prompts that
    are too long for this one. mode, context_window: None where not known. created: Unix seconds."""

    id: str
    deployments: tuple[Deployment, ...]
    source: Source
    created: int
    fallbacks: tuple[str, ...] = ()
    price: Price | None = None
    mode: str | None = None
    owned_by: str | None = None
    context_window: int | None = None
    aliases: tuple[str, ...] = ()
    context_fallbacks: tuple[str, ...] = ()
    routing: Routing = Routing()

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the models that it may pass requests on to."""
        mirror = () if self.routing.mirror is None else (self.routing.mirror.to,)
        return self.fallbacks + self.context_fallbacks + mirror

    @property
    def owner(self) -> str:
        return self.owned_by or self.deployments[0].provider


class Names:
    """Which model a name stands for: its own, else an alias, else the pattern that says most of it."""

    def __init__(self, models: Iterable[Model]) -> None:
        known = list(models)
        self._aliases = {alias: model for model in known for alias in model.aliases}
        self._models = {model.id: model for model in known}
        self._patterns = by_specificity(id for id in self._models if is_pattern(id))

    def exactly(self, name: str) -> Model | None:
        """The model whose id or alias it is."""
        return self._models.get(name) or self._aliases.get(name)

    def find(self, name: str) -> Model | None:
        if (found := self.exactly(name)) is not None:
            return found
        fitting = (each for each in self._patterns if matched(each, name) is not None)
        pattern = next(fitting, None)
        return None if pattern is None else self._models[pattern]

    @property
    def all(self) -> list[str]:
        """Every name that can be listed."""
        return [*self._models, *self._aliases]


def in_service(providers: Iterable[Provider], models: Iterable[Model]) -> dict[str, Provider | Model]:
    """What callers can use, by control key.

    A provider that is switched off is out of service, and so is a model whose providers all are, unless it has
    a fallback that answers for it. What is out of service is nobody's deployment and nobody's fallback.
    """
    on = {provider.name: provider for provider in providers if provider.enabled}
    working = {}
    for model in models:
        deployments = tuple(each for each in model.deployments if each.provider in on)
        working[model.id] = replace(model, deployments=deployments, owned_by=model.owner)
    found: dict[str, Provider | Model] = {provider_key(name): on[name] for name in on}
    names = Names(working.values())

    def works(name: str) -> bool:
        other = names.find(name)
        return other is not None and bool(other.deployments)

    for id, model in working.items():
        fallbacks = tuple(filter(works, model.fallbacks))
        if model.deployments or fallbacks:
            longer, routing = tuple(filter(works, model.context_fallbacks)), model.routing
            if routing.mirror is not None and not works(routing.mirror.to):
                routing = replace(routing, mirror=None)
            found[model_key(id)] = replace(
                model, fallbacks=fallbacks, context_fallbacks=longer, routing=routing
            )
    return found


def tenant_key(id: str) -> str:
    return f"tenant/{id}"


def api_key_key(id: str) -> str:
    return f"key/{id}"


def policy_id(tenant_id: str, key_id: str | None) -> str:
    return tenant_id if key_id is None else f"{tenant_id}/{key_id}"


def guard_key(policy: str) -> str:
    """policy: its id."""
    return f"guard/{policy}"


def provider_key(name: str) -> str:
    return f"provider/{name}"


def model_key(id: str) -> str:
    return f"model/{id}"
