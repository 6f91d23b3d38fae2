"""What the routing service reads from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class RoutingSettings(BaseSettings):
    """How model calls are tried, and the key that opens provider credentials."""

    model_config = SettingsConfigDict(env_prefix="HIVE_", extra="ignore")

    credentials_key: SecretStr = Field(
        SecretStr(""),
        description="Private key (base64) that opens provider credentials. Empty: kept in the data folder.",
    )
    routing_attempts: int = Field(6, ge=1, le=20, description="Calls to providers per request, at most.")
    routing_rounds: int = Field(3, ge=1, le=10, description="Calls to one deployment per request, at most.")
    routing_breaker_failures: int = Field(
        5, ge=1, description="Failures in a row after which a deployment is left alone for a while."
    )
    routing_breaker_seconds: float = Field(30, gt=0, description="How long it is left alone.")
