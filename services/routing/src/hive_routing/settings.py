"""What the routing service reads from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from hive_runtime.settings import Settings


class RoutingSettings(Settings):
    """How model calls are tried, and the key that opens provider credentials."""

    credentials_key: SecretStr | None = Field(
        None,
        description="Private key of providers' credentials, 32 bytes in base64. Empty: made once, and kept in the"
        " data folder. Console seals with it, routing alone opens.",
    )
    routing_attempts: int = Field(6, ge=1, le=20, description="Calls to providers per request, at most.")
    routing_rounds: int = Field(3, ge=1, le=10, description="Calls to one deployment per request, at most.")
    routing_breaker_failures: int = Field(
        5, ge=1, description="Failures in a row after which a deployment is left alone for a while."
    )
    routing_breaker_seconds: float = Field(30, gt=0, description="How long it is left alone.")
    cache_seconds: float = Field(
        3600,
        ge=0,
        le=31_536_000,
        description="How long an answer may be given again to the same tenant, where the tenant says nothing else."
        " 0: nothing is kept.",
    )
    cache_mb: int = Field(
        64,
        ge=1,
        le=65_536,
        description="Memory of the response cache, in MiB, where HIVE_CACHE_URL is memory://; a server has a bound of"
        " its own.",
    )
    stored_days: int = Field(
        30, ge=1, le=3650, description="How long responses and interactions are kept that are to be kept."
    )
    background_at_once: int = Field(
        64, ge=1, le=4096, description="Answers that one process makes in the background at a time."
    )
    resume_mb: int = Field(
        256,
        ge=1,
        le=65_536,
        description="Memory of streams that can be resumed, in MiB. Where it is full, those that have ended are given"
        " up first; the others keep less of what their clients had.",
    )
    trace_providers: bool = Field(
        False,
        description="Send providers `traceparent`, so that they can tell which calls belong to one trace.",
    )
